"""Photos and a model to a codes file: in shards, restartable, broken files listed, memory flat."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.distribution import installed_version
from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, fingerprint, locked, open_workspace
from hashpipe.common.known_files import FILE, remember_all, stamp
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.codes.packing import ENOUGH_TO_CENTRE
from hashpipe.hashing.data.listing import Listing, list_photos, must_exist, shown
from hashpipe.hashing.encoding import parts as encode_parts
from hashpipe.hashing.encoding import photo_jobs, runtimes
from hashpipe.hashing.encoding.centring import common_thresholds, given_thresholds
from hashpipe.hashing.encoding.encoder import Encoded, Encoder, Outputs, open_encoder
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.encoding.parts import Part
from hashpipe.hashing.encoding.photo_jobs import Work
from hashpipe.hashing.encoding.replacing import check_lost, check_output, earlier, read_files
from hashpipe.hashing.encoding.result import EncodeResult, failures_file
from hashpipe.hashing.features import descriptor_cache
from hashpipe.hashing.features.preprocess import opener
from hashpipe.hashing.features.quality import LOW
from hashpipe.hashing.models.model_folder import StoredModel, descriptors_fingerprint, read_model
from hashpipe.pairgen.photos.load import more_pages_note

__all__ = ["EncodeOptions", "EncodeResult", "Encoded", "Encoder", "Outputs", "encode", "open_encoder"]

_CENTRING = 5  # version of the rule, the medians: thresholds of an older one are not taken up
_CENTRE_ON = 4096  # photos that common thresholds are computed on
_MEASURE_ON = 32  # photos that a runtime is compared with torch on
_WORTH_EXPORTING = 100  # photos; below it, making the graph takes longer than it saves


def encode(photos: Path | Sequence[Path], workspace: Path, options: EncodeOptions) -> EncodeResult:
    """Encode photos (a folder, a list file, one photo, or paths) with a model, and write a codes file.

    Photo ids are positions in the list, shards included, so that codes of all shards fit together. A run that was
    stopped, killed or ran out of disk continues when it is started again in the same way, and ends with the
    same file. Photos whose content is in the codes file that is replaced keep their codes, so that adding photos costs
    only the new ones. Files that cannot be read are skipped and listed in <codes file>.failures.csv.

    Raises UserError for every error that the user can fix.
    """
    started = time.monotonic()
    must_exist(photos)
    output, model_folder, home = places(workspace, options)
    model = read_model(model_folder)
    check_output(output, model.fingerprint, home, options)
    listing = list_photos(photos, home or Path(workspace), options.video_frames)
    number, shards = options.share
    ids = np.arange(number, len(listing), shards, dtype=np.int32)
    if not len(ids):
        raise UserError(
            f"--shard {options.shard} of {len(listing)} photos is empty; use at most {len(listing)} shards."
        )
    if options.recentre and len(listing) < ENOUGH_TO_CENTRE:
        raise UserError(
            f"--recentre: {len(listing)} photos are too few to centre bits on; give {ENOUGH_TO_CENTRE} or more, "
            "or omit it."
        )
    given = None if options.thresholds is None else given_thresholds(options.thresholds, model, options.bits)
    bits = model.pick_bits(options.bits if given is None else len(given))
    runtime = _runtime(model, bits, listing, options)
    encoder = open_encoder(
        model_folder,
        bits=bits,
        thresholds=given,
        runtime=runtime,
        device=options.device,
        threads=options.workers,
        precision=options.precision,
    )
    made_by = _made_by(encoder)
    t = None if given is None else given.tolist()
    plan = fingerprint(model.fingerprint, bits, t, options.recentre, listing.fingerprint, options.shard, made_by)
    folder = output.with_name(f"{output.name}.parts")
    with locked(folder):
        encode_parts.open_parts(folder, plan)
        cached = _cached(encoder, home)
        work = Work(listing, encoder, folder, cached)
        done: list[Part] = []
        if options.recentre:
            work, done = _recentred(work, ids, home or output.parent)
            ids = np.setdiff1d(ids, np.concatenate([np.zeros(0, np.int32), *(part.photos for part in done)]))
        work = work.with_earlier(earlier(output, work.encoder.space, made_by))
        photo_jobs.encode_all(work, ids, "part", outputs=False)
        done += photo_jobs.finished(work, ids, "part")
        kind = (
            "of these photos" if options.recentre else "of the model" if given is None else f"of {options.thresholds}"
        )
        result = _write(output, work, done, kind, made_by, options.force)
        if home is not None:
            remember_all(home / FILE, read_files(work.listing, done))
        encode_parts.close_parts(folder)
    if work.several_pages:
        say(more_pages_note(sorted(work.several_pages)))
    return replace(result, seconds=round(time.monotonic() - started, 2))


def places(workspace: Path, options: EncodeOptions) -> tuple[Path, Path, Path | None]:
    """Codes file, model folder and workspace, checked before any work; without need for one the workspace is None."""
    own = options.model is None or options.output is None
    home = open_workspace(workspace, create=False) if own else None
    model = options.model if options.model is not None else home / "model"  # type: ignore[operator]
    if options.output is None:
        number, shards = options.share
        name = "codes.parquet" if shards == 1 else f"codes-{number + 1}-of-{shards}.parquet"
        return home / name, Path(model), home  # type: ignore[operator]
    output = expanded(options.output).absolute()
    if output.is_dir():
        raise UserError(
            f"-o {options.output} is a folder; name the codes file in it, as in {options.output}/codes.parquet."
        )
    if output.suffix != ".parquet":
        raise UserError(
            f"-o {options.output}: codes files are Parquet; end the name in .parquet (`export codes` makes others)."
        )
    if not output.parent.is_dir():
        raise UserError(f"-o {options.output}: there is no folder {output.parent}; make it or name another one.")
    return output, Path(model), home


def _runtime(model: StoredModel, bits: int, listing: Listing, options: EncodeOptions) -> str:
    """The runtime's name; the graph for it is made, and compared with torch on these photos, where that pays."""
    wanted = options.runtime
    if model.describer["backbone"] in runtimes.OWN:
        if wanted != "auto":
            what = runtimes.OWN[model.describer["backbone"]][1]
            raise UserError(f"--runtime {wanted} runs networks, and this model is {what}; omit it.")
        return wanted
    if wanted == "torch":
        return wanted
    if wanted == "auto" and (options.device == "cuda" or (options.device == "auto" and runtimes.gpu_present())):
        return "torch"
    if wanted == "auto" and (len(listing) < _WORTH_EXPORTING or not runtimes.can_export()):
        return runtimes.choose(model, bits, wanted, len(listing))
    some = np.unique(np.linspace(0, len(listing) - 1, min(len(listing), _MEASURE_ON)).round().astype(int))
    openers = [opener(listing.path(int(photo))) for photo in some]
    try:
        runtimes.prepare(model, bits, openers)
    except Exception as error:  # exporters and runtimes raise nearly anything
        if wanted != "auto":
            raise
        say(f"torch computes the codes, as the network cannot be exported: {error}")
    return runtimes.choose(model, bits, wanted, len(listing))


def _made_by(encoder: Encoder) -> dict[str, Any]:
    """How the codes were computed; nothing of the moment, so that a run that was stopped ends in the same file."""
    made = dict(encoder.engine.about)
    known = runtimes.known_flips(encoder.model, encoder.space.bits).get(encoder.engine.name)
    if known is not None:
        made |= {"bit_flip_rate": known.bit_flip_rate, "flips_measured_on": known.photos}
    return {"hashpipe": installed_version(), **made}


def _cached(encoder: Encoder, workspace: Path | None) -> dict[str, np.ndarray]:
    """Float descriptors that the workspace keeps of this model's describer, by SHA-256 of the photo.

    None for a graph, which computes its own. Feature maps are kept in float16: outputs from them would differ a little.
    """
    model = encoder.model
    usable = encoder.engine.name in ("torch", "vlad", "graph") and model.head(encoder.space.bits).reads == "descriptors"
    if workspace is None or not usable:
        return {}
    return descriptor_cache.read(workspace / "descriptors" / descriptors_fingerprint(model))


def _recentred(work: Work, ids: np.ndarray, home: Path) -> tuple[Work, list[Part]]:
    """The work with thresholds that all shards share, and the finished rows of `ids` that came about on the way."""
    listing, model, space = work.listing, work.encoder.model, work.encoder.space
    count = min(len(listing), _CENTRE_ON)
    sample = np.unique(np.linspace(0, len(listing) - 1, count).round()).astype(np.int32)
    stamps = [stamp(listing.path(int(photo))) for photo in sample]
    mark = fingerprint(_CENTRING, model.fingerprint, space.bits, listing.fingerprint, stamps)

    def outputs() -> np.ndarray:
        photo_jobs.encode_all(work, sample, "centre", outputs=True)
        parts = photo_jobs.finished(work, sample, "centre")
        return np.concatenate([part.values[part.reasons == ""] for part in parts])

    t = common_thresholds(home / "thresholds" / f"{mark}.json", model, space.bits, outputs)
    encoder = replace(work.encoder, space=CodeSpace(model.fingerprint, space.bits, t))
    mine = [
        part.rows(np.isin(part.photos, ids)) for part in photo_jobs.finished(work, sample, "centre", unchanged=True)
    ]
    return replace(work, encoder=encoder), [replace(part, values=encoder.codes(part.values)) for part in mine]


def _write(
    output: Path, work: Work, parts: Sequence[Part], thresholds: str, made_by: dict[str, Any], force: bool
) -> EncodeResult:
    """Join finished parts into the codes file and the list of failures."""
    space, paths = work.encoder.space, work.listing.paths
    failures: list[dict[str, Any]] = [
        {"photo": int(part.photos[row]), "path": shown(paths[part.photos[row]]), "reason": str(part.reasons[row])}
        for part in parts
        for row in np.flatnonzero(part.reasons != "")
    ]
    failures.sort(key=lambda row: row["photo"])
    if len(failures) == sum(map(len, parts)):
        encode_parts.close_parts(work.folder)
        raise UserError(
            f"None of the {len(failures)} photos can be read ({failures[0]['path']}: {failures[0]['reason']}); "
            "check them, nothing was written."
        )
    whole = encode_parts.join([part.rows(part.reasons == "") for part in parts])
    codeset = CodeSet(
        space,
        whole.photos,
        tuple(paths[photo] for photo in whole.photos),
        tuple(value.decode() for value in whole.sha256),
        whole.values,
        whole.quality,
        work.listing.root,
        made_by,
    )
    unread = {str(work.listing.path(row["photo"])) for row in failures}
    check_lost(output, set(codeset.sha256), unread, force)
    listed = failures_file(output)
    if failures:
        with atomic_path(listed) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, ["photo", "path", "reason"])
            rows.writeheader()
            rows.writerows(failures)
    else:
        listed.unlink(missing_ok=True)
    write_codes(output, codeset)
    low = [
        {"photo": int(whole.photos[row]), "path": codeset.paths[row], "quality": round(float(whole.quality[row]), 3)}
        for row in np.flatnonzero(whole.quality < LOW)
    ]
    kept = sum(sha in work.earlier for sha in codeset.sha256)
    return EncodeResult(output, len(codeset), kept, failures, low, space, thresholds, made_by, 0.0)
