"""What a user may choose when codes are learnt. Imports nothing heavy, so that `--help` stays quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hashpipe.common.errors import UserError
from hashpipe.common.option_values import Options
from hashpipe.hashing.benchmarks.names import check_files
from hashpipe.hashing.codes.options import BITS_MAX, BITS_MIN
from hashpipe.hashing.features.options import BackboneOptions

VIDEO_FRAMES = "maximum number of frames taken from each video, those with most motion; 0 leaves videos out"
_TUNING = ("finetune", "last", "all")


@dataclass(frozen=True)
class FinetuneOptions(Options):
    """How a network learns together with the codes, before heads are fitted to what it then says."""

    finetune: Literal["none", "last", "all"] = field(
        default="none",
        metadata={"help": "layers of the network that learn too: none (descriptors are computed once), last or all"},
    )
    finetune_steps: int = field(
        default=400, metadata={"help": "optimisation steps of the network", "min": 1, "only": _TUNING, "hidden": True}
    )
    finetune_rate: float = field(
        default=1e-5,
        metadata={"help": "step size of Adam for the network", "min": 0.0, "only": _TUNING, "hidden": True},
    )
    finetune_size: int = field(
        default=224,
        metadata={
            "help": "side in pixels of the square crops used for fine-tuning",
            "min": 32,
            "max": 1024,
            "only": _TUNING,
            "hidden": True,
        },
    )
    schedule: Literal["cosine", "constant"] = field(
        default="cosine",
        metadata={"help": "schedule of the network's step size after the warm-up", "only": _TUNING, "hidden": True},
    )
    warm_up: int = field(
        default=20,
        metadata={"help": "steps over which its step size grows from 0", "min": 0, "only": _TUNING, "hidden": True},
    )
    precision: Literal["float32", "bf16"] = field(
        default="float32",
        metadata={
            "help": "precision of the network: where it learns, and on a GPU where it describes photos; bf16 is mixed "
            "precision",
            "hidden": True,
        },
    )
    accumulate: int = field(
        default=1,
        metadata={
            "help": "parts that a batch is computed in, to save memory; the loss is that of the whole batch",
            "min": 1,
            "only": _TUNING,
            "hidden": True,
        },
    )
    augment: bool = field(
        default=True,
        metadata={
            "help": "fine-tune on random crops with changed brightness, else on the centre crop",
            "only": _TUNING,
            "hidden": True,
        },
    )


@dataclass(frozen=True)
class TrainOptions(Options):
    """How codes are learnt. What an objective reads besides stands in a dataclass of its own, `method`.

    steps, learning_rate, batch_pairs, batch_others and noise are those of the objective's recipe where not given.
    """

    bits: tuple[int, ...] = field(
        default=(64,),
        metadata={
            "help": "code lengths, each gets a head of its own",
            "min": BITS_MIN,
            "max": BITS_MAX,
            "metavar": "N[,N...]",
        },
    )
    objective: str = field(
        default="joint",
        metadata={
            "help": "what is learnt: joint (pairs from 3D, discovered neighbours and information weights together), or "
            "a published method by its name; docs/methods.md lists them",
            "metavar": "NAME",
        },
    )
    method: Any = field(default=None, metadata={"cli": False})  # options of the objective, its defaults where None
    head: str | None = field(
        default=None,
        metadata={"help": "kind of head, else that of the objective", "metavar": "NAME", "hidden": True},
    )
    describe: BackboneOptions = field(default_factory=BackboneOptions)
    photos: Path | None = field(
        default=None,
        metadata={
            "help": "learn from this folder or list file of photos by neighbour discovery alone, without pairs",
            "metavar": "DIR|LIST",
        },
    )
    video_frames: int = field(
        default=0,
        metadata={"help": VIDEO_FRAMES, "min": 0, "only": ("photos",), "hidden": True},
    )
    copies: int = field(
        default=0,
        metadata={
            "help": "with --photos: each photo and N changed copies of it form a place, for pages, documents and "
            "covers",
            "min": 0,
            "max": 64,
            "metavar": "N",
            "hidden": True,
        },
    )
    benchmark: str | None = field(
        default=None,
        metadata={
            "help": "learn from the training split of a benchmark instead",
            "metavar": "NAME",
            "hidden": True,
        },
    )
    root: Path | None = field(
        default=None, metadata={"help": "where the benchmark's files are", "metavar": "PATH", "hidden": True}
    )
    labels: bool = field(
        default=False,
        metadata={
            "help": "learn from the class labels of --benchmark as pairs: SUPERVISED, for comparison with published "
            "figures only",
            "only": ("benchmark",),
            "hidden": True,
        },
    )
    seed: int = field(default=0, metadata={"help": "seed of all random choices", "min": 0})
    steps: int | None = field(
        default=None, metadata={"help": "optimisation steps for each code length, else as the objective says", "min": 0}
    )
    learning_rate: float | None = field(
        default=None, metadata={"help": "step size of Adam", "min": 0.0, "hidden": True}
    )
    batch_pairs: int | None = field(
        default=None, metadata={"help": "similar pairs in a batch", "min": 1, "hidden": True}
    )
    batch_others: int | None = field(
        default=None, metadata={"help": "random other photos in a batch", "min": 0, "hidden": True}
    )
    noise: float | None = field(
        default=None,
        metadata={"help": "noise on descriptors, in standard deviations of a dimension", "min": 0.0, "hidden": True},
    )
    pca: int = field(
        default=256, metadata={"help": "dimensions of the descriptor that heads read", "min": 1, "hidden": True}
    )
    pairs: bool = field(default=True, metadata={"help": "learn from pairs that 3D geometry found", "hidden": True})
    recentre: bool = field(
        default=True,
        metadata={"help": "set each bit's threshold to its median over the photos learnt from", "hidden": True},
    )
    matryoshka: bool = field(
        default=False,
        metadata={
            "help": "one head for all lengths: the first bits of a long code are the short code (Matryoshka)",
            "hidden": True,
        },
    )
    amplify: bool = field(
        default=False,
        metadata={
            "help": "rescue dead bits: amplify gradients of bits saturated on the wrong side and quantise only bits "
            "that agree with a pair (RDH), for objectives that go through tanh",
            "hidden": True,
        },
    )
    patience: int = field(
        default=0,
        metadata={
            "help": "stop early after so many of 16 validations without a better one, on places of the split val, "
            "and keep the best; 0 never",
            "min": 0,
            "hidden": True,
        },
    )
    tune: FinetuneOptions = field(default_factory=FinetuneOptions)
    tensorboard: bool = field(
        default=False, metadata={"help": "write events for TensorBoard into the model folder", "hidden": True}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bits:
            raise UserError(f"--bits is empty; give a code length of {BITS_MIN} to {BITS_MAX}.")
        object.__setattr__(self, "bits", tuple(sorted(set(self.bits))))
        if self.photos is not None and self.benchmark is not None:
            raise UserError("--photos and --benchmark exclude each other; give one of them.")
        check_files(self.benchmark, self.root)
        if self.labels and self.benchmark is None:
            raise UserError(
                "--labels are the class labels of a benchmark; name it with --benchmark and --root, or omit --labels."
            )


@dataclass(frozen=True)
class AdaptOptions(Options):
    """How a model is taken to another collection."""

    model: Path | None = field(
        default=None, metadata={"help": "model folder to start from, else the workspace's model", "metavar": "DIR"}
    )
    output: Path | None = field(
        default=None,
        metadata={"short": "o", "help": "folder of the new model, else adapted in the workspace", "metavar": "DIR"},
    )
    start: Literal["itq", "model"] = field(
        default="itq",
        metadata={
            "help": "where bits start: at ITQ of the new photos, which measured best, or at the model's own bits"
        },
    )
    steps: int | None = field(
        default=None, metadata={"help": "optimisation steps for each code length, else as the model was trained"}
    )
    video_frames: int = field(default=0, metadata={"help": VIDEO_FRAMES, "min": 0})
    seed: int = field(default=0, metadata={"help": "seed of all random choices", "min": 0})
    device: Literal["auto", "cpu", "cuda"] = field(default="auto", metadata={"help": "where networks run"})
    precision: Literal["float32", "bf16"] = field(
        default="float32", metadata={"help": "precision in which the network describes photos on a GPU"}
    )
