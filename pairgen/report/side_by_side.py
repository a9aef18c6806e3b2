"""Two photos side by side with the points that both show: for judging a pair by eye."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path
from hashpipe.pairgen.colmap.database import matched_places
from hashpipe.pairgen.colmap.model_files import model_fault
from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.same import load_same

HEIGHT = 600  # of the picture, pixels
_DOTS, _LINES, _GAP = 400, 40, 8
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class SharedPoints:
    """n points in both photos: float64 (n,2) each, in widths and heights of the upright pictures.

    what: "points" of the 3D model that both observe, "surface" of the model that both see without matched features,
    "matches" that passed verification, or "" where there are none.
    """

    a: np.ndarray
    b: np.ndarray
    what: str

    def __len__(self) -> int:
        return len(self.a)


NOTHING = SharedPoints(np.zeros((0, 2)), np.zeros((0, 2)), "")


def shared_points(pairset: PairSet, a: int, b: int) -> SharedPoints:
    """The best that is known of two photos (by id): shared points, else common surface, else verified matches.

    A pair that is similar by visible surface shows its surface, because its few shared points are not why.
    """
    from hashpipe.pairgen.colmap import reconstructions

    paths, shas = pairset.photos["path"], pairset.photos["sha256"]
    names = str(paths[a]), str(paths[b])
    kind, number = _pair_facts(pairset, a, b)
    model = pairset.folder / "models" / str(number)
    if number >= 0 and not model_fault(model):
        with contextlib.suppress(UserError):  # damaged all the same
            found = SharedPoints(*reconstructions.shared_places(model, *names), "points")
            if kind == "visible_surface" or not len(found):
                surface = common_surface(model, *names)
                found = surface if len(surface) else found
            if len(found):
                return _upright(pairset, found, a, b)
    database = pairset.folder / "database.db"
    if database.is_file():
        matched = SharedPoints(*matched_places(database, str(shas[a]), str(shas[b])), "matches")
        if len(matched):
            return matched
    return NOTHING


def _pair_facts(pairset: PairSet, a: int, b: int) -> tuple[str, int]:
    """Kind and model of a pair; an unlabelled pair has the model that holds both photos, if one does."""
    low, high = min(a, b), max(a, b)
    rows = np.flatnonzero((pairset.pair_column("a") == low) & (pairset.pair_column("b") == high))
    if len(rows):
        return str(pairset.pairs["kind"][int(rows[0])]), int(pairset.pair_column("model")[rows[0]])
    models = pairset.photo_column("model")
    return "", int(models[a]) if models[a] == models[b] else -1


def common_surface(model: Path, first: str, second: str) -> SharedPoints:
    """Surface points of a written model that both photos see, hidden ones removed, where the cameras project them."""
    from hashpipe.pairgen.colmap.reconstructions import read_model, registered_in
    from hashpipe.pairgen.mapping.surface import visible_surface

    names = registered_in(model)
    if first not in names or second not in names:
        return NOTHING
    content = read_model(model, {name: row for row, name in enumerate(names)})
    rows = [names.index(name) for name in (first, second)]
    seen = visible_surface(content, rows)
    common = np.intersect1d(seen[rows[0]].indices, seen[rows[1]].indices)
    a, b = (content.project(row, content.points[common]) / content.size[row] for row in rows)
    return SharedPoints(a, b, "surface") if len(common) else NOTHING


def _upright(pairset: PairSet, found: SharedPoints, a: int, b: int) -> SharedPoints:
    """Models made elsewhere know the photos as they are stored, not turned upright."""
    if (pairset.meta.get("imported") or {}).get("format") != "colmap":
        return found
    turns = [int(pairset.photos["orientation"][one].as_py() or 1) for one in (a, b)]
    return SharedPoints(turned(found.a, turns[0]), turned(found.b, turns[1]), found.what)


def turned(places: np.ndarray, orientation: int) -> np.ndarray:
    """Places (n,2) in a stored picture, in widths and heights, as places in the upright one; EXIF orientation 1..8."""
    x, y = places[:, 0], places[:, 1]
    upright = {
        1: (x, y),
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }
    return np.stack(upright.get(orientation, (x, y)), axis=1)


def dotted(
    first: Image.Image, second: Image.Image, shared: SharedPoints, most: int = _DOTS, radius: float = 3
) -> tuple[Image.Image, Image.Image]:
    """Copies of both pictures with a dot on up to `most` common points, spread evenly; one colour for each point."""
    pictures = first.copy(), second.copy()
    chosen = _spread(shared, most)
    for picture, places in zip(pictures, (shared.a, shared.b), strict=True):
        draw = ImageDraw.Draw(picture)
        for rank, point in enumerate(chosen.tolist()):
            x, y = places[point] * picture.size
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, fill=_hue(rank / max(1, len(chosen) - 1)), outline=(0, 0, 0))
    return pictures


def side_by_side(first: Image.Image, second: Image.Image, shared: SharedPoints, height: int = HEIGHT) -> Image.Image:
    """Both pictures at one height, dots on up to 400 common points, lines between some of them, spread evenly."""
    sized = [one.resize((max(1, round(one.width * height / one.height)), height)) for one in (first, second)]
    left, right = dotted(sized[0], sized[1], shared)
    canvas = Image.new("RGB", (left.width + _GAP + right.width, height), (255, 255, 255))
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width + _GAP, 0))
    draw = ImageDraw.Draw(canvas)
    chosen = _spread(shared, _LINES)
    for rank, point in enumerate(chosen.tolist()):
        start, end = shared.a[point] * left.size, shared.b[point] * right.size + [left.width + _GAP, 0]
        draw.line((*start, *end), fill=_hue(rank / max(1, len(chosen) - 1)), width=1)
    return canvas


def _spread(shared: SharedPoints, most: int) -> np.ndarray:
    """Up to `most` points inside both pictures, evenly from the top of the first one to its bottom."""
    inside = np.flatnonzero(((shared.a >= 0) & (shared.a <= 1) & (shared.b >= 0) & (shared.b <= 1)).all(axis=1))
    order = inside[np.argsort(shared.a[inside, 1], kind="stable")]
    return order[np.linspace(0, len(order) - 1, min(len(order), most)).round().astype(int)]


def _hue(share: float) -> tuple[int, int, int]:
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb(0.85 * share, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def write_picture(pairset: PairSet, a: int, b: int, target: Path) -> SharedPoints:
    """Write the picture of two photos (ids), the first on the left; returns the points that were drawn.

    Raises UserError where a photo is gone, changed or unreadable, where the file's format is unknown, and where the
    target is a photo.
    """
    target = Path(target)
    if target.suffix.lower() not in _SUFFIXES:
        raise UserError(f"{target} must end in {', '.join(_SUFFIXES)}; name such a file with --picture.")
    paths, contents = pairset.photo_paths(), pairset.photos["sha256"].to_pylist()
    if target.exists() and any(path.exists() and path.samefile(target) for path in paths):
        raise UserError(f"{target} is one of the photos; name another file with --picture.")
    opened: list[Image.Image] = []
    for photo in (a, b):
        try:
            opened.append(load_same(paths[photo], contents[photo], 1600))
        except (UnreadablePhoto, OSError) as error:
            raise UserError(
                f"{paths[photo]} cannot be read ({error}); no picture was drawn, put it back first."
            ) from None
    shared = shared_points(pairset, a, b)
    with atomic_path(target) as temporary:
        side_by_side(opened[0], opened[1], shared).save(temporary, quality=88)
    return shared
