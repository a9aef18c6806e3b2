"""Pairs and descriptors to binary codes and their score. Knows nothing of COLMAP.

The public names are those of the package `hashpipe`; here they are kept for programs written for hashpipe 0.1.
"""

from __future__ import annotations

from typing import Any

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
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import hashpipe

    return getattr(hashpipe, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
