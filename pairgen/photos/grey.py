"""Pictures of one channel with more than 8 bits, or of floats, as 8-bit grey."""

from __future__ import annotations

import contextlib

import numpy as np
from PIL import Image, TiffImagePlugin

_OUTLIERS = 0.1  # percent at each end that may be clipped
_SAMPLED = 1_000_000  # values that percentiles are taken of
_PHOTOMETRIC, _SAMPLE_FORMAT, _NO_DATA = 262, 339, 42113

# Layouts that Pillow can unpack and does not list, by sample format (1 unsigned, 2 signed, 3 float) and bits; each for
# little and for big byte order. Whether 0 is black or white is settled below.
_LAYOUTS = {
    (1, 12): (("I;16", "I;12"), ("I;16", "I;12")),
    (1, 16): (("I;16", "I;16"), ("I;16B", "I;16B")),
    (2, 16): (("I", "I;16S"), ("I", "I;16BS")),
    (1, 32): (("I", "I;32N"), ("I", "I;32B")),
    (2, 32): (("I", "I;32S"), ("I", "I;32BS")),
    (3, 32): (("F", "F;32F"), ("F", "F;32BF")),
    (3, 64): (("F", "F;64F"), ("F", "F;64BF")),
}
# What comes out of libtiff is in this machine's byte order, which Pillow knows for some layouts only.
_NATIVE = {"I;16BS": "I;16NS", "I;32B": "I;32N", "I;32BS": "I;32NS", "F;32BF": "F;32NF", "F;64BF": "F;64NF"}
for (_format, _bits), _orders in _LAYOUTS.items():
    for _order, _modes in zip((TiffImagePlugin.II, TiffImagePlugin.MM), _orders, strict=True):
        for _zero in (0, 1):
            TiffImagePlugin.OPEN_INFO.setdefault((_order, _zero, (_format,), 1, (_bits,), ()), _modes)


def is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def mend_byte_order(image: Image.Image) -> None:
    """Make Pillow unpack the compressed pixels of an opened TIFF as libtiff hands them out."""
    for at, tile in enumerate(getattr(image, "tile", [])):
        if tile.codec_name == "libtiff" and tile.args[0] in _NATIVE:
            image.tile[at] = tile._replace(args=(_NATIVE[tile.args[0]], *tile.args[1:]))  # type: ignore[attr-defined]


def as_grey(image: Image.Image) -> Image.Image:
    """A picture of mode I, I;16 or F as mode L, its own range of values spread over 0 to 255.

    Values that are no numbers or that the file calls no data do not count and become black. Where one value in a
    thousand at an end takes up more than three quarters of the range, as a dead pixel does, the ends are clipped.
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    values = np.asarray(image)
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1:
        values = values.view(np.uint32)  # Pillow's 32 bits have a sign, the file's have none
    values = values.astype(np.float64)
    counted = np.isfinite(values)
    with contextlib.suppress(ValueError):
        counted &= values != float(str(tags.get(_NO_DATA, "")).strip("\0 "))
    low, high = _range(values[counted])
    spread = (values - low) * (255.0 / (high - low)) if high > low else np.full(values.shape, 128.0)
    grey = np.clip(np.round(np.nan_to_num(spread, nan=0.0)), 0, 255)
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white
        grey = 255 - grey
    return Image.fromarray(np.where(counted, grey, 0).astype(np.uint8))


def _range(values: np.ndarray) -> tuple[float, float]:
    if not values.size:
        return 0.0, 0.0
    low, high = float(values.min()), float(values.max())
    inner = np.percentile(values[:: -(-values.size // _SAMPLED)], (_OUTLIERS, 100 - _OUTLIERS))
    if inner[0] < inner[1] < inner[0] + (high - low) / 4:
        return float(inner[0]), float(inner[1])
    return low, high
