"""Compact binary codes for finding other photos of the same place, and a measure of their accuracy.

    import hashpipe

    hashpipe.train(hashpipe.TrainOptions(bits=(64,)), workspace)

The names below are imported when they are first asked for, so that `import hashpipe` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "AdaptOptions": "hashing.training.options",
    "BackboneOptions": "hashing.features.options",
    "BuildOptions": "pairgen.options",
    "EncodeOptions": "hashing.encoding.options",
    "EvalOptions": "hashing.evaluation.options",
    "FinetuneOptions": "hashing.training.options",
    "TrainOptions": "hashing.training.options",
    "UserError": "common.errors",
    "adapt": "hashing.training.adapt",
    "build_pairs": "pairgen.build",
    "encode": "hashing.encoding.encode",
    "evaluate": "hashing.evaluation",
    "load_model": "hashing.models.network",
    "read_codes": "hashing.codes.codes_file",
    "read_pairset": "pairgen.pairs.pairset",
    "resume": "hashing.training.train",
    "train": "hashing.training.train",
}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from hashpipe.common.distribution import installed_version

        return installed_version()
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
