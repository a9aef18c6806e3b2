"""Pairs and descriptors to binary codes and their score. Knows nothing of COLMAP.

    from hashpipe.hashing import TrainOptions, encode, train

The names below are imported when they are asked for, so that importing this package stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashpipe.hashing.encode.encode import encode
    from hashpipe.hashing.encode.options import EncodeOptions
    from hashpipe.hashing.features.options import BackboneOptions
    from hashpipe.hashing.models.network import load_model
    from hashpipe.hashing.training.adapt import adapt
    from hashpipe.hashing.training.options import AdaptOptions, FinetuneOptions, TrainOptions
    from hashpipe.hashing.training.train import resume, train

_WHERE = {
    "train": "learning.training",
    "resume": "learning.training",
    "adapt": "learning.adapting",
    "encode": "encoding.encode",
    "load_model": "network",
    "TrainOptions": "options",
    "BackboneOptions": "options",
    "FinetuneOptions": "options",
    "AdaptOptions": "options",
    "EncodeOptions": "encoding.options",
}

__all__ = [
    "AdaptOptions",
    "BackboneOptions",
    "EncodeOptions",
    "FinetuneOptions",
    "TrainOptions",
    "adapt",
    "encode",
    "load_model",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
