"""Compact binary codes for finding other photos of the same place, and a measure of their accuracy.

    import hashpipe as hp

    hp.build_pairs("photos", "workspace")
    hp.train("workspace", bits=64)
    print(hp.evaluate("workspace").as_text())

The names below are imported when they are first asked for, so that `import hashpipe` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashpipe.common.errors import UserError
    from hashpipe.hashing.calibration.options import CalibrateOptions
    from hashpipe.hashing.codes.codes_file import read_codes
    from hashpipe.hashing.duplicates.options import GroupsOptions
    from hashpipe.hashing.encoding.options import EncodeOptions, OnnxOptions
    from hashpipe.hashing.evaluation.options import EvalOptions
    from hashpipe.hashing.export.options import ExportOptions
    from hashpipe.hashing.features.options import BackboneOptions
    from hashpipe.hashing.models.network import load_model
    from hashpipe.hashing.python.stages import (
        adapt,
        build_index,
        calibrate,
        encode,
        evaluate,
        export,
        group,
        search,
        train,
    )
    from hashpipe.hashing.search.index import Index, open_index
    from hashpipe.hashing.search.index_options import IndexOptions
    from hashpipe.hashing.search.options import SearchOptions
    from hashpipe.hashing.training import losses
    from hashpipe.hashing.training.options import AdaptOptions, FinetuneOptions, TrainOptions
    from hashpipe.hashing.training.pair_dataset import PairBatchSampler, PairDataset
    from hashpipe.hashing.training.train import resume
    from hashpipe.pairgen.build import build_pairs
    from hashpipe.pairgen.options import BuildOptions
    from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset

    __version__: str

_WHERE = {
    "AdaptOptions": "hashing.training.options",
    "BackboneOptions": "hashing.features.options",
    "BuildOptions": "pairgen.options",
    "CalibrateOptions": "hashing.calibration.options",
    "EncodeOptions": "hashing.encoding.options",
    "EvalOptions": "hashing.evaluation.options",
    "ExportOptions": "hashing.export.options",
    "FinetuneOptions": "hashing.training.options",
    "GroupsOptions": "hashing.duplicates.options",
    "Index": "hashing.search.index",
    "IndexOptions": "hashing.search.index_options",
    "OnnxOptions": "hashing.encoding.options",
    "PairBatchSampler": "hashing.training.pair_dataset",
    "PairDataset": "hashing.training.pair_dataset",
    "PairSet": "pairgen.pairs.pairset",
    "SearchOptions": "hashing.search.options",
    "TrainOptions": "hashing.training.options",
    "UserError": "common.errors",
    "adapt": "hashing.python.stages",
    "build_index": "hashing.python.stages",
    "build_pairs": "pairgen.build",
    "calibrate": "hashing.python.stages",
    "encode": "hashing.python.stages",
    "evaluate": "hashing.python.stages",
    "export": "hashing.python.stages",
    "group": "hashing.python.stages",
    "load_model": "hashing.models.network",
    "losses": "hashing.training",
    "open_index": "hashing.search.index",
    "read_codes": "hashing.codes.codes_file",
    "read_pairset": "pairgen.pairs.pairset",
    "resume": "hashing.training.train",
    "search": "hashing.python.stages",
    "train": "hashing.python.stages",
}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from hashpipe.common.distribution import installed_version

        return installed_version()
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"{__name__}.{_WHERE[name]}"
    if name == "losses":  # a module itself
        value: Any = importlib.import_module(f"{module}.{name}")
    else:
        value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
