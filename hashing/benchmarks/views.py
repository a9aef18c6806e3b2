"""Image lists made from others: some images changed, two lists after one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from hashpipe.hashing.data.images import ImageList

Change = Callable[[Image.Image], Image.Image]


def changed(images: ImageList, rows: Sequence[int], changes: Sequence[tuple[str, Change]], full: bool) -> ImageList:
    """Image i is row rows[i] of `images` after changes[i] = (name, function); the name becomes part of its identity.

    With `full` the function sees all pixels of the photo (boxes are in its pixels) and the result is shrunk afterwards.
    """

    def opened(index: int, max_side: int | None) -> Image.Image:
        picture = changes[index][1](images.open(int(rows[index]), None if full else max_side))
        if max_side is not None and max(picture.size) > max_side:
            picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        return picture

    return ImageList(
        keys=tuple(f"{images.keys[row]}:{name}" for row, (name, _) in zip(rows, changes, strict=True)),
        open=opened,
        names=tuple(f"{images.names[row]} ({name})" for row, (name, _) in zip(rows, changes, strict=True)),
    )


def joined(first: ImageList, second: ImageList) -> ImageList:
    """The images of `first`, then those of `second`; features that are stored for `first` stay known."""
    count = len(first)
    return ImageList(
        keys=first.keys + second.keys,
        open=lambda index, side: first.open(index, side) if index < count else second.open(index - count, side),
        names=first.names + second.names,
        features=first.features,
    )
