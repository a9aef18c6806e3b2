"""What a user may choose when codes are scored. Imports nothing heavy, so that `--help` stays quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from hashpipe.common.errors import UserError
from hashpipe.common.option_values import Options
from hashpipe.hashing.benchmarks.names import check_name
from hashpipe.hashing.codes.options import BITS_MAX, BITS_MIN
from hashpipe.hashing.training.objectives import OBJECTIVES

BASELINES = ("lsh", "pca", "pca-rr", "itq", "sh", "phash", "cslbp", "float")


@dataclass(frozen=True)
class EvalOptions(Options):
    """How codes are scored."""

    benchmark: str = field(
        default="places",
        metadata={
            "help": "benchmark or one of its protocols: places and copies score the workspace's own photos, "
            "`hashpipe benchmarks list` names the others",
            "metavar": "NAME",
        },
    )
    root: Path | None = field(
        default=None, metadata={"help": "where the benchmark's files are: a folder or an archive", "metavar": "PATH"}
    )
    bits: tuple[int, ...] = field(
        default=(),
        metadata={
            "help": "code lengths to score; without it all that the model has",
            "min": BITS_MIN,
            "max": BITS_MAX,
            "metavar": "N[,N...]",
        },
    )
    codes: Path | None = field(
        default=None,
        metadata={
            "help": "score these codes (npy, npz, parquet, mat), one row per photo of the benchmark, and not the model",
            "metavar": "FILE",
        },
    )
    relevance: Path | None = field(
        default=None,
        metadata={
            "help": "frozen relevance of places: parquet with columns query, photo (SHA-256 each), kind (relevant, "
            "junk)",
            "metavar": "FILE",
        },
    )
    baselines: tuple[str, ...] = field(
        default=BASELINES,
        metadata={"help": "baselines to show", "choices": (*BASELINES, "none"), "metavar": "NAME[,NAME...]"},
    )
    methods: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "published methods that are trained on the workspace's pairs and scored beside the model: all, or "
            "names as in `hashpipe methods`; those that are trained already are kept",
            "metavar": "all|NAME[,NAME...]",
        },
    )
    normaliser: Literal["found", "min(k,R)"] | None = field(
        default=None,
        metadata={
            "help": "divisor of AP@k: relevant photos found in the first k (hashing papers) or min(k,R); "
            "without it what the benchmark defines"
        },
    )
    unseen: bool = field(default=True, metadata={"help": "score places/unseen, which fits a second model"})
    seed: int = field(default=0, metadata={"help": "seed of baselines, samples and intervals", "min": 0})
    rounds: int = field(
        default=2000, metadata={"help": "bootstrap rounds of the intervals", "min": 100, "max": 100_000}
    )
    galleries: bool = field(default=True, metadata={"help": "show queries with their first photos in the report"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.baselines:
            if name not in (*BASELINES, "none"):
                raise UserError(f"--baselines has {name!r}; choose from {', '.join(BASELINES)} or none.")
        for name in self.methods:
            if name not in (*OBJECTIVES, "all"):
                near = get_close_matches(name, OBJECTIVES, n=3)
                hint = (
                    f"did you mean {' or '.join(near)}?" if near else "`hashpipe methods` lists them, all trains each."
                )
                raise UserError(f"--methods has {name!r}, which is no published method; {hint}")
        if self.methods and (self.codes is not None or self.benchmark.split("/")[0] != "places"):
            raise UserError(
                "--methods trains on the workspace's pairs and scores its places; omit --benchmark and --codes."
            )
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))
        object.__setattr__(self, "bits", tuple(sorted(set(self.bits))))
        object.__setattr__(self, "baselines", tuple(name for name in self.baselines if name != "none"))
        check_name(self.benchmark)
        local = self.benchmark.split("/")[0] in ("places", "copies")
        if not local and self.root is None:
            raise UserError(
                f"--benchmark {self.benchmark} needs its files; name them with --root PATH "
                f"(`hashpipe benchmarks show {self.benchmark.split('/')[0]}` tells what they are)."
            )
        if self.benchmark.split("/")[0] == "places" and self.root is not None:
            raise UserError("--root belongs to a benchmark; places scores the workspace's own photos; omit --root.")
