"""Options of the pair-building stage. Imports nothing heavy: the command line reads this file for its help."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BuildOptions:
    """Every choice of `hashpipe pairs build`; all of them but `workers` are part of the PairSet fingerprint."""

    seed: int = field(
        default=0, metadata={"help": "Seed of everything random: verification, mapping, splits, negatives."}
    )
    max_side: int = field(default=1024, metadata={"help": "Longest side, in pixels, at which features are found."})
    max_features: int = field(default=8192, metadata={"help": "Most SIFT features of one photo."})
    exhaustive_below: int = field(
        default=60, metadata={"help": "Match all pairs when there are at most this many photos."}
    )
    neighbours: int = field(
        default=10, metadata={"help": "VLAD neighbours of a photo that are matched in the first round."}
    )
    min_inliers: int = field(default=15, metadata={"help": "Inliers that make a match verified."})
    min_model_size: int = field(default=3, metadata={"help": "Fewest photos of a 3D model."})
    mapper_attempts: int = field(
        default=4, metadata={"help": "Reconstructions tried while photos of a place stay unregistered."}
    )
    min_overlap: float = field(default=0.2, metadata={"help": "Smallest share of common 3D points of a similar pair."})
    max_scale_change: float = field(default=1.5, metadata={"help": "Largest scale change of a covisible similar pair."})
    min_visible_overlap: float = field(
        default=0.3,
        metadata={"help": "Smallest visible-surface overlap of a similar pair without enough common points."},
    )
    max_visible_scale_change: float = field(
        default=3.0, metadata={"help": "Largest scale change of a similar pair by visible surface."}
    )
    max_view_angle: float = field(
        default=60.0, metadata={"help": "Largest viewing angle, in degrees, of a similar pair by visible surface."}
    )
    negatives: int = field(
        default=10, metadata={"help": "Dissimilar photos sampled for each photo of a place, one per other place."}
    )
    far_metres: float = field(
        default=500.0, metadata={"help": "Photos with GPS positions closer than this are never dissimilar."}
    )
    val_share: float = field(default=0.1, metadata={"help": "Share of places for validation."})
    test_share: float = field(default=0.3, metadata={"help": "Share of places for testing."})
    query_share: float = field(
        default=0.2, metadata={"help": "Share of a place's photos that are held out as queries."}
    )
    workers: int = field(default=0, metadata={"help": "Processes at work; 0 means one per core."})
