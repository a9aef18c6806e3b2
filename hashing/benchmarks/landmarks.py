"""Oxford5k, Paris6k and their revisited forms: queries are boxes in photos, junk is not ranked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks.groundtruth import GroundTruth, read_matlab, read_oxford, read_revisited
from hashpipe.hashing.benchmarks.manifests import Manifest
from hashpipe.hashing.benchmarks.photofiles import named_photos, photos_below
from hashpipe.hashing.benchmarks.protocols import Protocol, make_protocol
from hashpipe.hashing.benchmarks.views import changed, joined
from hashpipe.hashing.data.images import ImageList, from_paths
from hashpipe.hashing.metrics.relevance import lists

DISTRACTORS = "revisitop1m"  # folder below the root


def read(manifest: Manifest, asked: str, root: Path) -> tuple[ImageList, tuple[Protocol, ...]]:
    """Photos (database, then distractors, then query crops) and one protocol, or all three of a revisited benchmark."""
    found = photos_below(root)
    distractors: list[Path] = []
    if manifest.name.endswith("+1m"):
        distractors = sorted(photos_below(root / DISTRACTORS).values())
        if not distractors:
            raise UserError(f"{root / DISTRACTORS} holds no photos; unpack the distractors of {manifest.name} there.")
        found = {name: path for name, path in found.items() if DISTRACTORS not in path.relative_to(root).parts}
    truth = read_truth(manifest, root, found)
    database = from_paths([*named_photos(root, found, truth.names, manifest.name), *distractors])
    sources = from_paths(named_photos(root, found, truth.queries, manifest.name))
    crops = changed(sources, range(len(sources)), [_crop(box) for box in truth.boxes], full=True)
    images = joined(database, crops)
    names = [table["name"] for table in manifest.protocols]
    chosen = [asked] if asked else names
    return images, tuple(
        landmark_protocol(manifest, name, truth, images.keys, len(database), len(distractors)) for name in chosen
    )


def landmark_protocol(
    manifest: Manifest, name: str, truth: GroundTruth, keys: tuple[str, ...], database: int, distractors: int = 0
) -> Protocol:
    """One protocol over `database` photos followed by one row per query."""
    table = manifest.protocol(name)
    return make_protocol(
        manifest.name if len(manifest.protocols) == 1 else f"{manifest.name}/{name}",
        keys,
        database + np.arange(len(truth.queries)),
        np.arange(database),
        np.empty(0, np.int64),
        lists(truth.select(*table["positive"]), truth.select(*table["junk"]), database, source=manifest.name),
        table["metrics"],
        table["normaliser"],
        notes=[f"{distractors} distractor photos"] if distractors else [],
    )


def read_truth(manifest: Manifest, root: Path, found: dict[str, Path]) -> GroundTruth:
    """Ground truth in whichever published form lies below the root."""
    short = manifest.name.removesuffix("+1m")
    if manifest.layout == "revisited":
        for path in sorted(root.rglob(f"gnd_{short}.pkl")):
            return read_revisited(path)
        raise UserError(f"{root} lacks gnd_{short}.pkl; `hashpipe benchmarks show {manifest.name}` tells from where.")
    for path in sorted(root.rglob(f"gnd_{short}.mat")):
        return read_matlab(path)
    return read_oxford(root, sorted(found))


def _crop(box: tuple[float, float, float, float] | None):
    if box is None:
        return "whole", lambda picture: picture
    name = "box " + " ".join(f"{value:g}" for value in box)

    def cut(picture: Image.Image) -> Image.Image:
        left, top = max(0, int(box[0])), max(0, int(box[1]))
        right, bottom = min(picture.width, round(box[2])), min(picture.height, round(box[3]))
        return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))

    return name, cut
