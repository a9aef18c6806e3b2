"""What the photos of each model share: one restartable job per model, its result beside the model."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.files import atomic_path
from hashpipe.common.progress import stage
from hashpipe.common.workers import run_jobs
from hashpipe.pairgen.ambiguity.doppelgangers import Parts
from hashpipe.pairgen.ambiguity.model_consistency import Cameras
from hashpipe.pairgen.colmap.reconstructions import read_model, registered_in
from hashpipe.pairgen.mapping.overlap import Evidence

EVIDENCE = "evidence-6.npz"  # the number goes up when a rule of measuring changes, so that old results are not read
_FIELDS = tuple(Evidence.__dataclass_fields__)


def measure_models(folders: Sequence[Path], photo_ids: dict[str, int], workers: int) -> list[Evidence]:
    """Evidence of every model, photos by the ids in `photo_ids` (path -> id, in order of name).

    Cleans the clouds and writes them as `cloud.ply` beside the model. Models measured before are read.
    """
    todo = [folder for folder in folders if not _is_whole(folder / EVIDENCE)]
    with stage("Measuring overlap", len(todo), "models") as advance:
        for _, outcome in run_jobs(_measure, [(folder,) for folder in todo], workers):
            if isinstance(outcome, Exception):
                raise outcome
            advance(1)
    return [_load(folder, photo_ids) for folder in folders]


def _is_whole(path: Path) -> bool:
    try:
        with np.load(path) as saved:
            return set(_FIELDS) <= set(saved.files)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # none yet, or cut
        return False


def _measure(folder: Path) -> None:
    from hashpipe.pairgen.ambiguity.doppelgangers import doubtful_parts
    from hashpipe.pairgen.mapping.overlap import pair_evidence
    from hashpipe.pairgen.mapping.surface import clean, visible_surface, write_ply

    paths = registered_paths(folder)
    model = read_model(folder, {path: row for row, path in enumerate(paths)})
    kept = clean(model.points)
    write_ply(folder / "cloud.ply", model.points[kept], model.colors[kept])
    found = pair_evidence(model, visible_surface(model))
    parts = doubtful_parts(model, visible_surface(model, foreground=False))
    extra = {"part": parts.part, "relation": np.array(parts.relation, np.str_), "why": np.array(parts.why, np.str_)}
    extra |= {"rotation": model.rotation, "centers": model.centers}
    with atomic_path(folder / EVIDENCE) as temporary:
        arrays: dict[str, Any] = {**extra, **{name: getattr(found, name) for name in _FIELDS}}
        np.savez(temporary, paths=np.array(paths), **arrays)


def measured_parts(folder: Path, photo_ids: dict[str, int]) -> tuple[np.ndarray, Parts]:
    """Of a measured model: the ids of its photos, int32 (M,), and which of them do not fit the others."""
    with np.load(folder / EVIDENCE) as saved:
        ids = np.array([photo_ids[path] for path in saved["paths"].tolist()], np.int32)
        return ids, Parts(saved["part"], tuple(saved["relation"].tolist()), tuple(saved["why"].tolist()))


def measured_cameras(folder: Path, photo_ids: dict[str, int]) -> Cameras:
    """The cameras of a measured model, photos by the ids in `photo_ids`."""
    with np.load(folder / EVIDENCE) as saved:
        ids = np.array([photo_ids[path] for path in saved["paths"].tolist()], np.int32)
        return Cameras(ids, saved["rotation"], saved["centers"])


def registered_paths(folder: Path) -> list[str]:
    """Paths of a model's registered photos, in order of name."""
    return registered_in(folder)


def _load(folder: Path, photo_ids: dict[str, int]) -> Evidence:
    with np.load(folder / EVIDENCE) as saved:
        ids = np.array([photo_ids[path] for path in saved["paths"].tolist()], np.int32)
        values = {name: saved[name] for name in _FIELDS}
    a, b = ids[values["a"]], ids[values["b"]]
    # Paths and ids are both in order of name, so a < b survives the renumbering.
    return Evidence(**{**values, "a": a, "b": b})
