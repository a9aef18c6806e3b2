"""Places and models: which photos stand in which."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_folder
from hashpipe.pairgen.colmap import reconstructions
from hashpipe.pairgen.mapping.reconstruct import Component, Mapping
from hashpipe.pairgen.photos.metadata import Photo


@dataclass(frozen=True)
class Models:
    """All models of a build, largest first.

    place, model: int32 (n,), place and largest model of each photo, -1 none. folders: where each model lies. sizes:
    {model, place, registered, points} of each.
    """

    place: np.ndarray
    model: np.ndarray
    folders: list[Path]
    sizes: list[dict[str, int]]


def place_models(photos: Sequence[Photo], components: Sequence[Component], mappings: Sequence[Mapping]) -> Models:
    """Number the models that reconstruction left: a component with any model is a place."""
    rows = {photo.path: row for row, photo in enumerate(photos)}
    place, model = np.full(len(photos), -1, np.int32), np.full(len(photos), -1, np.int32)
    found: list[tuple[int, int, Path, list[int], int]] = []
    with_models = sorted({mapping.component for mapping in mappings if mapping.models})
    numbers = {component: number for number, component in enumerate(with_models)}
    for mapping in mappings:
        for folder in mapping.models:
            number = numbers[mapping.component]
            place[list(components[mapping.component].photos)] = number
            registered = [rows[path] for path in reconstructions.registered_in(folder)]
            found.append((-len(registered), number, folder, registered, reconstructions.point_count(folder)))
    found.sort(key=lambda item: (item[0], item[1], item[2].name))
    infos = []
    for index, (size, number, _, registered, points) in enumerate(found):
        infos.append({"model": index, "place": number, "registered": -size, "points": points})
        free = [row for row in registered if model[row] < 0]
        model[free] = index
    return Models(place, model, [item[2] for item in found], infos)


def collect_models(folder: Path, models: Sequence[Path], leave_out: str) -> None:
    """Copy models to `folder`/models/0, 1, ..., all or none, without the file named `leave_out`."""
    with atomic_folder(folder / "models") as temporary:
        for index, source in enumerate(models):
            shutil.copytree(source, temporary / str(index), ignore=shutil.ignore_patterns(leave_out, ".*"))
