"""Figures of papers: mAP on CIFAR-10 with 1,000 queries and 5,000 labelled photos to learn from, 59,000 searched."""

from __future__ import annotations

from dataclasses import dataclass

BITS = (12, 24, 32, 48)


@dataclass(frozen=True)
class Published:
    """mAP at BITS and where it stands; "unchecked" where it was not compared with the paper."""

    values: tuple[float, float, float, float]
    source: str


_LAI = "Lai et al. 2015, pixels"
_DDSH = "Jiang et al. 2018, CNN-F"

# learnt from pixels by a network of the paper's own, unless another is named
PUBLISHED = {
    "cnnh": Published((0.439, 0.511, 0.509, 0.522), _LAI),
    "ninh": Published((0.552, 0.566, 0.558, 0.581), _LAI),
    "dpsh": Published((0.713, 0.727, 0.744, 0.757), "Li et al. 2016, CNN-F fine-tuned, unchecked"),
    "dtsh": Published((0.710, 0.750, 0.765, 0.774), "Wang et al. 2016, CNN-F fine-tuned, unchecked"),
    "greedyhash": Published((0.774, 0.795, 0.810, 0.822), "Su et al. 2018, AlexNet fine-tuned, unchecked"),
    "dsh": Published((0.646, 0.749, 0.786, 0.811), f"{_DDSH} fine-tuned"),
    "itq": Published((0.258, 0.273, 0.283, 0.294), f"{_DDSH} frozen"),
    "lsh": Published((0.147, 0.173, 0.180, 0.193), f"{_DDSH} frozen"),
    "sh": Published((0.131, 0.135, 0.133, 0.130), f"{_LAI} (GIST)"),
}
