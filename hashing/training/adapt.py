"""Adapt a trained model to another collection, without labels or 3D: find neighbours in it, re-centre the bits."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.files import fingerprint, locked, open_workspace, put_back
from hashpipe.common.inputs import keep_input
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.codes.packing import ENOUGH_TO_CENTRE
from hashpipe.hashing.data import images as image_lists
from hashpipe.hashing.data.listing import must_exist
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.features.descriptors import Descriptors
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models.network import load_model, make_model
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.options import AdaptOptions
from hashpipe.hashing.training.stored_options import options_as_json, stored_options
from hashpipe.hashing.training.train import centre
from hashpipe.hashing.training.train_result import summary, write_model

MODEL = "adapted"  # the folder's name in a workspace


@dataclass(frozen=True)
class AdaptResult:
    """What `adapt` did."""

    folder: Path
    fingerprint: str
    adapted_from: str
    bits: tuple[int, ...]
    photos: int
    unreadable: int
    centred: bool
    seconds: float
    notes: tuple[str, ...] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        return {"model": str(self.folder), **{k: v for k, v in asdict(self).items() if k != "folder"}}

    def as_text(self) -> str:
        unread = f", {self.unreadable} unreadable" if self.unreadable else ""
        return "\n".join(
            [
                f"Adapted codes of {', '.join(map(str, self.bits))} bits in {self.seconds:.1f} s.",
                f"  photos     {self.photos} learnt from, without labels{unread}",
                f"  from       {self.adapted_from}",
                f"  model      {self.folder} ({self.fingerprint})",
                *(f"  note       {note}" for note in self.notes),
            ]
        )


def adapt(photos: Path, workspace: Path, options: AdaptOptions | None = None) -> AdaptResult:
    """Train a model's heads anew on the photos of a folder or list alone, and write a model of its own.

    The model's network stays as it is. Heads start from ITQ on the new photos (or from the model's own: bits that were
    pushed to tell its places apart serve others worse), learn by neighbour discovery with the objective and options of
    the model, and are centred on the new photos. Descriptors are kept in the workspace's cache. Raises UserError for
    errors that the user can fix.
    """
    started = time.monotonic()
    options = options or AdaptOptions()
    must_exist(photos)
    workspace = open_workspace(workspace, create=options.model is not None)
    origin = options.model or workspace / "model"
    out = expanded(options.output or workspace / MODEL).absolute()
    model = load_model(origin, options.device, options.precision)
    put_back(out)
    if out.exists() and out.resolve() == Path(origin).resolve():
        raise UserError(f"--output {out} is the model to start from; name another folder, it would be lost.")
    keep_input(origin, "--model", out, "name another folder with --output")
    keep_input(photos, "PHOTOS", out, "name another folder with --output")
    if out.exists() and any(out.iterdir()) and not (out / "model.safetensors").exists():
        raise UserError(f"--output {out} holds other files, not a model; name an empty or new folder.")
    stored = stored_options(model.config)
    if objective_class(stored.objective).needs:
        stored = replace(stored, objective="joint", method=None)  # there are no pairs here
    if options.start == "model" and any(head.kind not in ("linear", "residual") for head in model.heads.values()):
        raise UserError(f"--start model does not go with the head {stored.head} of {origin}; omit it to start at ITQ.")
    objective = stored.objective
    fit = replace(
        stored, pairs=False, seed=options.seed, photos=None, copies=0, benchmark=None, root=None, labels=False
    )
    if options.steps is not None:
        fit = replace(fit, steps=options.steps)
    with locked(workspace):
        listed = image_lists.from_folder_or_list(photos, workspace, options.video_frames)
        say(f"adapting {model.fingerprint} to {len(listed)} photos with {model.describer.name}, without labels")
        described = model.describer.describe(listed, workspace / "descriptors")
        seen = model.seen(listed, described, workspace / "descriptors")
        if isinstance(seen, Maps):
            described = Descriptors(described.values, described.ok & seen.ok)
            seen = seen.subset(described.ok)
        values = described.values[described.ok]
        if not len(values):
            raise UserError(f"No photo of {photos} can be read; check that they are where they were.")
        targets, checkpoint = no_targets(len(values)), Checkpoint()
        maps = seen if isinstance(seen, Maps) else None
        start = model.heads if options.start == "model" else None
        heads = fit_heads(values, targets, fit, checkpoint=checkpoint, start=start, maps=maps)
        thresholds, centred = centre(heads, values if maps is None else maps)
        notes = []
        if not centred:
            notes.append(f"{len(values)} photos are too few to centre bits on (at least {ENOUGH_TO_CENTRE})")
        config = {
            **{key: value for key, value in model.config.items() if key not in ("fingerprint", "pairset", "source")},
            "options": options_as_json(replace(fit, photos=Path(photos), video_frames=options.video_frames)),
            "seed": options.seed,
            "objective": objective,
            "source": {"photos": str(photos), "fingerprint": fingerprint(sorted(listed.keys))},
            "pairset": None,
            "photos": len(values),
            "pairs": {},
            "centred": centred,
            "notes": notes,
            "adapted_from": model.fingerprint,
        }
        adapted = make_model(model.describer, heads, thresholds, config)
        lost = int((~described.ok).sum())
        record = summary(out, adapted, len(values), lost, checkpoint.lines, time.monotonic() - started)
        write_model(record, adapted, checkpoint.lines, values if maps is None else maps, targets)
    return AdaptResult(
        out,
        adapted.fingerprint,
        model.fingerprint,
        adapted.bits,
        len(values),
        lost,
        centred,
        round(time.monotonic() - started, 2),
        tuple(notes),
    )
