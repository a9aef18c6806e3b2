"""The values that each option of a build may have."""

from __future__ import annotations

from hashpipe.common.errors import UserError
from hashpipe.pairgen.matching.parallel_matching import WEAK_INLIERS
from hashpipe.pairgen.options import BuildOptions

_BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "max_side": (64, 20_000),
    "max_features": (100, 100_000),
    "exhaustive_below": (0, 10_000),
    "neighbours": (1, 1000),
    "min_inliers": (WEAK_INLIERS, 10_000),
    "min_model_size": (3, 1000),
    "mapper_attempts": (1, 100),
    "min_overlap": (0.0, 1.0),
    "max_scale_change": (1.0, 1e6),
    "min_visible_overlap": (0.0, 1.0),
    "max_visible_scale_change": (1.0, 1e6),
    "max_view_angle": (0.0, 180.0),
    "negatives": (0, 10_000),
    "far_metres": (0.0, 1e7),
    "val_share": (0.0, 0.5),
    "test_share": (0.0, 0.5),
    "query_share": (0.0, 0.5),
    "outside_neighbours": (0, 1000),
    "max_partners": (1, 100_000),
    "gps_neighbours": (0, 1000),
    "gps_metres": (0.0, 1e6),
    "time_neighbours": (0, 1000),
    "time_seconds": (0.0, 1e6),
    "max_community": (4, 10_000),
    "job_minutes": (0.0, 1e6),
    "video_frames": (0, 10_000),
    "memory_gib": (0.0, 1e6),
    "workers": (0, 1024),
}


def check_options(options: BuildOptions) -> None:
    """Raise UserError for a value that no build can use."""
    for name, (low, high) in _BOUNDS.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise UserError(f"--{name.replace('_', '-')} is {value}; choose a value from {low} to {high}.")
