"""The places of a report: their photos as thumbnails, and a 3D model of each that can be turned."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hashpipe.common.environment import cores
from hashpipe.common.errors import UserError
from hashpipe.common.top_view import Cameras, TopView, top_view
from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.colmap.model_files import model_fault
from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.photos.jpegs import data_uri
from hashpipe.pairgen.report.pair_gallery import Picture
from hashpipe.pairgen.report.thumbnails import thumbnailer
from hashpipe.pairgen.report.top_view import preview

PLACES_SHOWN = 60
_PICTURES, _MOST_PICTURES = 24, 720  # thumbnails of one place, and of all
_SIDE = 160  # longest side of a thumbnail, pixels
_POINTS = 3000  # of one model, so that a page of many opens quickly


@dataclass(frozen=True)
class ShownModel:
    """picture: the model from above as a data: address. cloud: what the viewer in the page reads."""

    number: int
    photos: int
    points: int
    picture: str
    cloud: dict[str, Any]


@dataclass(frozen=True)
class ShownPlace:
    """count: all photos of the place; `photos` (id, picture) are some of them. models: their numbers, largest first."""

    number: int
    count: int
    photos: list[tuple[int, Picture]]
    models: list[int]
    model: ShownModel | None


def shown_places(pairset: PairSet) -> list[ShownPlace]:
    """The first places in the order of their numbers; places without a readable model have photos alone."""
    place, models = pairset.photo_column("place"), pairset.photo_column("model")
    ok = np.asarray(pairset.photo_column("status")) == "ok"
    numbers = np.unique(place[(place >= 0) & ok])[:PLACES_SHOWN].tolist()
    each = min(_PICTURES, max(4, _MOST_PICTURES // max(1, len(numbers))))
    rows = {number: np.flatnonzero((place == number) & ok) for number in numbers}
    thumbnail = thumbnailer(pairset, _SIDE)
    wanted = [int(row) for number in numbers for row in rows[number][:each]]
    with ThreadPoolExecutor(cores()) as pool:
        pictures = dict(zip(wanted, pool.map(thumbnail, wanted), strict=True))
    names, shown = pairset.photos["path"], []
    for number in numbers:
        of_place = models[rows[number]]
        found, counts = np.unique(of_place[of_place >= 0], return_counts=True)
        ordered = found[np.argsort(-counts, kind="stable")].tolist()
        photos = [(int(row), Picture(names[int(row)].as_py(), pictures[int(row)])) for row in rows[number][:each]]
        shown.append(ShownPlace(number, len(rows[number]), photos, ordered, _first_readable(pairset, ordered)))
    return shown


def _first_readable(pairset: PairSet, models: list[int]) -> ShownModel | None:
    return next((model for number in models if (model := _model(pairset, number)) is not None), None)


def _model(pairset: PairSet, number: int) -> ShownModel | None:
    from hashpipe.pairgen.colmap.reconstructions import read_model, registered_in

    folder = pairset.folder / "models" / str(number)
    if model_fault(folder):
        return None
    try:
        names = registered_in(folder)
        model = read_model(folder, {name: row for row, name in enumerate(names)})
    except UserError:  # damaged all the same
        return None
    ids = {path: photo for photo, path in enumerate(pairset.photos["path"].to_pylist())}
    photos = [ids.get(names[row]) for row in model.photos.tolist()]
    picture = data_uri(preview(model, (400, 300)), "png")
    return ShownModel(number, len(model.photos), len(model.points), picture, _as_cloud(_seen(model, names), photos))


def _seen(model: Model, names: list[str]) -> TopView:
    right, down, forward = (model.rotation[:, axis] for axis in range(3))
    cameras = Cameras(tuple(names[row] for row in model.photos.tolist()), model.centers, right, down, forward)
    return top_view(model.points, model.colors, cameras, _POINTS)


def _as_cloud(view: TopView, photos: list[int | None]) -> dict[str, Any]:
    """A model for the viewer; points are base64 of int16 (n,3), then uint8 (n,3), little-endian."""
    points = np.clip(view.points, -32768, 32767).astype("<i2")
    cameras = [
        {"photo": photo, "at": at[:2], "z": at[2], "looks": [round(one, 3) for one in looks], "tilt": round(tilt, 3)}
        for photo, at, looks, tilt in zip(
            photos, view.centers.tolist(), view.looks.tolist(), view.tilts.tolist(), strict=True
        )
    ]
    packed = base64.b64encode(points.tobytes() + view.colors.tobytes()).decode()
    return {"width": view.width, "height": view.height, "points": packed, "cameras": cameras}
