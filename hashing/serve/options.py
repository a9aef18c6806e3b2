"""What a user may choose about the page and its server. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.common.option_values import Options


@dataclass(frozen=True)
class ServeOptions(Options):
    """Where to listen, what to serve, and how much of the machine strangers' files may use."""

    host: str = field(
        default="127.0.0.1",
        metadata={
            "help": "address to listen on; any other than this machine's own (127.0.0.1, ::1) lets everyone who "
            "reaches it see the photos",
            "metavar": "ADDRESS",
        },
    )
    port: int = field(
        default=8765, metadata={"help": "port to listen on, 0 for any that is free", "min": 0, "max": 65535}
    )
    allow_host: tuple[str, ...] = field(
        default=(),
        metadata={"help": "further names under which browsers may ask for the page", "metavar": "NAME[,NAME...]"},
    )
    index: Path | None = field(
        default=None, metadata={"help": "index to search in, without it the workspace's own", "metavar": "DIR"}
    )
    model: Path | None = field(
        default=None, metadata={"help": "model that uploads are encoded with, without it the workspace's own"}
    )
    runtime: Literal["auto", "torch", "onnx", "openvino"] = field(
        default="auto", metadata={"help": "what runs the model"}
    )
    also: tuple[Path, ...] = field(
        default=(),
        metadata={
            "help": "folders outside the collection that links inside it may lead to; without them such photos are "
            "not shown",
            "metavar": "DIR[,DIR...]",
        },
    )
    upload_mb: int = field(
        default=32, metadata={"help": "largest upload, in megabytes", "min": 1, "max": 1024, "metavar": "MB"}
    )
    megapixels: int = field(
        default=64, metadata={"help": "largest picture that is decoded, in megapixels", "min": 1, "max": 500}
    )
    workers: int = field(
        default=0,
        metadata={
            "help": "processes that read uploads, each with the model in memory and started when it is needed; 0 for "
            "one per core up to 4",
            "min": 0,
        },
    )
    queue: int = field(
        default=64,
        metadata={"help": "uploads held at the same time; further ones get status 503", "min": 1, "max": 4096},
    )
    cache_mb: int = field(
        default=512, metadata={"help": "room for thumbnails in the workspace, in megabytes; 0 keeps none", "min": 0}
    )
