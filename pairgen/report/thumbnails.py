"""Small pictures of photos for the report, as data URIs; those of a pair with dots on the surface that both see."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.photos.jpegs import as_uri
from hashpipe.pairgen.photos.same import small_same
from hashpipe.pairgen.report.side_by_side import dotted, shared_points

SIDE = 240  # longest side, pixels

Thumbnail = Callable[[int], str]


def thumbnailer(pairset: PairSet, side: int = SIDE) -> Thumbnail:
    """A function from photo id to data URI, "" where it was changed, moved or removed; each photo is read once."""
    paths, contents = pairset.photo_paths(), pairset.photos["sha256"].to_pylist()

    @cache
    def thumbnail(photo: int) -> str:
        picture = small_same(paths[photo], contents[photo], side)
        return as_uri(picture) if picture is not None else ""

    return thumbnail


def surface_pair(pairset: PairSet, a: int, b: int) -> tuple[str, str] | None:
    """Both photos (ids) as data URIs, dots of one colour where they show the same point; None where none is known."""
    paths, contents = pairset.photo_paths(), pairset.photos["sha256"].to_pylist()
    first, second = (small_same(paths[photo], contents[photo], SIDE) for photo in (a, b))
    if first is None or second is None:
        return None
    shared = shared_points(pairset, a, b)
    if not len(shared):
        return None
    left, right = dotted(first, second, shared, most=60)
    return as_uri(left), as_uri(right)
