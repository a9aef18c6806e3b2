"""Two models that hold some photos in common: do their cameras agree on gravity (directions) and on scale?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COMMON = 3  # photos that two models must share for anything to be said
MEASURED = 500  # common photos at most whose distances are compared, drawn evenly
TURNED = 20.0  # degrees between a camera's directions in both models, after the best rotation: upper quartile
SCALED = 2.0  # upper over lower quartile of the ratios of distances between cameras


@dataclass(frozen=True)
class Cameras:
    """One model: photos int (M,) distinct ids; rotation float (M,3,3) world to camera; centers float (M,3)."""

    photos: np.ndarray
    rotation: np.ndarray
    centers: np.ndarray


def disagreement(first: Cameras, second: Cameras) -> str:
    """Why two models contradict each other, "" where they agree or share fewer than COMMON photos."""
    common, i, j = np.intersect1d(first.photos, second.photos, return_indices=True)
    if len(common) < COMMON:
        return ""
    between = np.einsum("nki,nkj->nij", first.rotation[i], second.rotation[j])  # second world to first, by each photo
    left, _, right = np.linalg.svd(between.sum(axis=0))
    best = left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right
    cosine = (np.einsum("nij,ij->n", between, best) - 1) / 2
    turned = float(np.quantile(np.degrees(np.arccos(np.clip(cosine, -1, 1))), 0.75))
    if turned > TURNED:
        return f"{len(common)} common photos look in directions {turned:.0f} degrees apart"
    some = np.linspace(0, len(common) - 1, min(len(common), MEASURED)).round().astype(int)  # photos**2 pairs
    i, j = i[some], j[some]
    near, far = np.triu_indices(len(some), 1)
    lengths = [
        np.linalg.norm(cameras.centers[rows[near]] - cameras.centers[rows[far]], axis=1)
        for cameras, rows in ((first, i), (second, j))
    ]
    solid = lengths[0] > 0.25 * lengths[0].max()  # shorter distances are mostly noise
    if solid.sum() >= COMMON:
        low, high = np.quantile(lengths[0][solid] / lengths[1][solid], [0.25, 0.75])
        if high > SCALED * low:
            return f"distances between {len(common)} common photos differ by {high / low:.1f} times in scale"
    return ""


def contradicted_models(models: Sequence[Cameras]) -> dict[int, str]:
    """Numbers of models that a larger trusted one contradicts, and why. models: largest first."""
    holding: dict[int, list[int]] = {}
    doubtful: dict[int, str] = {}
    for number, model in enumerate(models):
        sharing = sorted({other for photo in model.photos.tolist() for other in holding.get(photo, ())})
        for other in sharing:
            why = disagreement(models[other], model)
            if why:
                doubtful[number] = f"Model {number} contradicts model {other} ({why})"
                break
        if number not in doubtful:
            for photo in model.photos.tolist():
                holding.setdefault(photo, []).append(number)
    return doubtful
