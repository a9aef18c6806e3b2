"""What a user may choose when photos are encoded or a model is exported. Imports nothing heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.common.errors import UserError
from hashpipe.common.option_values import Options


@dataclass(frozen=True)
class EncodeOptions(Options):
    """How photos become a codes file."""

    output: Path | None = field(
        default=None,
        metadata={"help": "codes file to write, else codes.parquet in the workspace", "short": "o", "metavar": "FILE"},
    )
    model: Path | None = field(
        default=None, metadata={"help": "model folder, else the workspace's model", "metavar": "DIR"}
    )
    bits: int | None = field(
        default=None,
        metadata={"help": "code length, where the model has several; else its longest of at most 64", "min": 1},
    )
    runtime: Literal["auto", "torch", "onnx", "openvino"] = field(
        default="auto",
        metadata={
            "help": "what runs the network; auto takes the fastest installed runtime whose codes differ from torch's "
            "in at most one bit in a thousand"
        },
    )
    thresholds: Path | None = field(
        default=None,
        metadata={
            "help": "take bit thresholds from this codes file or thresholds file instead of the model",
            "metavar": "FILE",
        },
    )
    recentre: bool = field(
        default=False,
        metadata={
            "help": "set each bit's threshold to its median over up to 4,096 of these photos (at least 200): for "
            "photos of places unlike the training photos; shards that share a workspace share the thresholds"
        },
    )
    shard: str | None = field(
        default=None,
        metadata={"help": "encode every N-th photo, beginning with the i-th: 1/4, 2/4, 3/4, 4/4", "metavar": "i/N"},
    )
    video_frames: int = field(
        default=0,
        metadata={
            "help": "maximum number of frames taken from each video, those with most motion; 0 leaves videos out",
            "min": 0,
        },
    )
    workers: int = field(default=0, metadata={"help": "photos at a time, 0 for one per core", "min": 0, "max": 1024})
    device: Literal["auto", "cpu", "cuda"] = field(
        default="auto", metadata={"help": "where torch runs; auto takes a GPU where one is present"}
    )
    precision: Literal["float32", "bf16"] = field(
        default="float32",
        metadata={
            "help": "precision of the network on a GPU; bf16 is faster and flips some bits near their thresholds"
        },
    )
    force: bool = field(
        default=False,
        metadata={
            "help": "replace the codes file also where most of its photos are away, or where --model is another one "
            "than its own"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recentre and self.thresholds is not None:
            raise UserError("--recentre and --thresholds exclude each other; give one of them.")
        if self.shard is not None:
            found = re.fullmatch(r"(\d+)/(\d+)", self.shard)
            if found is None or not 1 <= int(found.group(1)) <= int(found.group(2)):
                raise UserError(f"--shard {self.shard} is not a shard; give i/N with i from 1 to N, as in 1/4.")
        if self.device == "cuda" and self.runtime not in ("auto", "torch"):
            raise UserError(f"--device cuda is torch's and --runtime is {self.runtime}; omit one of them.")
        if self.precision == "bf16" and (self.device == "cpu" or self.runtime not in ("auto", "torch")):
            other = "--device cpu" if self.device == "cpu" else f"--runtime {self.runtime}"
            raise UserError(f"--precision bf16 is for a GPU and does not go with {other}; omit one of them.")

    @property
    def share(self) -> tuple[int, int]:
        """(i, N) of the shard, 0 <= i < N; (0, 1) for everything."""
        if self.shard is None:
            return 0, 1
        i, n = self.shard.split("/")
        return int(i) - 1, int(n)


@dataclass(frozen=True)
class OnnxOptions(Options):
    """How a model is exported to ONNX."""

    output: Path | None = field(
        default=None,
        metadata={"help": "file to write, else hash-BITS.onnx in the workspace", "short": "o", "metavar": "FILE"},
    )
    model: Path | None = field(
        default=None, metadata={"help": "model folder, else the workspace's model", "metavar": "DIR"}
    )
    bits: int | None = field(
        default=None,
        metadata={"help": "code length, where the model has several; else its longest of at most 64", "min": 1},
    )
