"""Options of the pair-building stage. Imports nothing heavy: the command line reads this file for its help."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from hashpipe.common.option_values import Options


@dataclass(frozen=True)
class BuildOptions(Options):
    """Every choice of `hashpipe pairs build`; `identity` says which of them the PairSet fingerprint covers."""

    seed: int = field(
        default=0, metadata={"help": "Seed of all random choices: verification, mapping, splits, negatives."}
    )
    max_side: int = field(default=1024, metadata={"help": "Longest side, in pixels, at which features are found."})
    max_features: int = field(default=8192, metadata={"help": "Maximum number of SIFT features of a photo."})
    exhaustive_below: int = field(
        default=60, metadata={"help": "Match all pairs when there are at most this many photos."}
    )
    neighbours: int = field(
        default=10, metadata={"help": "VLAD neighbours of a photo that are matched in the first round."}
    )
    outside_neighbours: int = field(
        default=2,
        metadata={
            "help": "Nearest photos outside its own place that each photo is matched with in the end.",
            "identity": "changed",
        },
    )
    max_partners: int = field(
        default=200,
        metadata={"help": "Photos with this many partners are not given further candidates.", "identity": "changed"},
    )
    gps_neighbours: int = field(
        default=5,
        metadata={"help": "Nearest photos by GPS that are matched in the first round.", "identity": "changed"},
    )
    gps_metres: float = field(
        default=50.0, metadata={"help": "Greatest distance of a neighbour by GPS.", "identity": "changed"}
    )
    time_neighbours: int = field(
        default=3,
        metadata={
            "help": "Photos of the same camera, nearest in time, that are matched in the first round.",
            "identity": "changed",
        },
    )
    time_seconds: float = field(
        default=60.0, metadata={"help": "Longest time to a neighbour by capture time.", "identity": "changed"}
    )
    min_inliers: int = field(default=15, metadata={"help": "Inliers that make a match verified."})
    min_model_size: int = field(default=3, metadata={"help": "Minimum number of photos of a 3D model."})
    mapper_attempts: int = field(
        default=4, metadata={"help": "Reconstructions tried while photos of a place stay unregistered."}
    )
    mapper: Literal["incremental", "global"] = field(
        default="incremental",
        metadata={
            "help": "How places are reconstructed; where global leaves photos out, incremental follows.",
            "identity": "changed",
        },
    )
    max_community: int = field(
        default=200,
        metadata={
            "help": "Maximum number of photos of one reconstruction; larger places are split.",
            "identity": "changed",
        },
    )
    job_minutes: float = field(
        default=120.0,
        metadata={
            "help": "Time limit of one reconstruction, which then keeps what it has; 0 means none.",
            "identity": "changed",
        },
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
    strip_location: bool = field(
        default=False,
        metadata={"help": "Keep GPS positions out of everything that is written.", "identity": "never"},
    )
    video_frames: int = field(
        default=0,
        metadata={
            "help": "Maximum number of frames taken from each video, those with most motion; 0 leaves videos out.",
            "identity": "changed",
        },
    )
    force: bool = field(
        default=False,
        metadata={
            "help": "Replace earlier pairs also where most of their photos are away, or lie elsewhere.",
            "identity": "never",
        },
    )
    memory_gib: float = field(
        default=0.0,
        metadata={"help": "Memory for processes at work, in GiB; 0 means what is free.", "identity": "never"},
    )
    workers: int = field(default=0, metadata={"help": "Processes at work; 0 means one per core.", "identity": "never"})


def identity(options: BuildOptions) -> dict[str, Any]:
    """The parameters that the fingerprint of a PairSet covers.

    Those with metadata identity="never" do not change the pairs. Those with "changed" came after the first pairs were
    made: they count only where they differ from their default, so that pairs made before keep their fingerprint.
    """
    values = asdict(options)
    covered = {}
    for option in fields(BuildOptions):
        rule = option.metadata.get("identity", "always")
        if rule == "always" or (rule == "changed" and values[option.name] != option.default):
            covered[option.name] = values[option.name]
    return covered
