"""How much a photo can say: flat walls, black frames and thumbnails get codes that mean little."""

from __future__ import annotations

import numpy as np
from PIL import Image

LOW = 0.3  # below it a photo is flagged
_FULL_SIDE = 96  # pixels of the shorter side, standard deviation of grey, mean step between neighbours: all one can ask
_FULL_CONTRAST = 20.0
_FULL_DETAIL = 4.0
_SAMPLE = 96  # pixels of the longest side that contrast and detail are judged on


def quality(picture: Image.Image) -> float:
    """0 (flat or tiny) to 1, from an upright picture as it was decoded, before it is enlarged.

    The least of three shares: shorter side of 96 pixels, standard deviation of grey of 20 levels, and mean difference
    of neighbouring pixels of 4 levels, both on the picture shrunk to about 96 pixels.
    """
    gray = picture.convert("L").reduce(max(1, max(picture.size) // _SAMPLE))
    values = np.asarray(gray, np.float32)
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1) if values.shape[axis] > 1]
    detail = float(np.mean([step.mean() for step in steps])) if steps else 0.0
    shares = (min(picture.size) / _FULL_SIDE, float(values.std()) / _FULL_CONTRAST, detail / _FULL_DETAIL)
    return float(min(1.0, *shares))
