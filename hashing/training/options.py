"""What a user may choose when codes are learnt. Imports nothing heavy, so that `--help` stays quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.options import BITS_MAX, BITS_MIN
from hashpipe.hashing.features.options import BackboneOptions

_TUNING = ("finetune", "last", "all")


@dataclass(frozen=True)
class FinetuneOptions:
    """How a network learns together with the codes, before heads are fitted to what it then says."""

    finetune: Literal["none", "last", "all"] = field(
        default="none",
        metadata={"help": "layers of the network that learn too: none (descriptors are computed once), last or all"},
    )
    finetune_steps: int = field(
        default=400, metadata={"help": "optimisation steps of the network", "min": 1, "only": _TUNING}
    )
    finetune_rate: float = field(
        default=1e-5, metadata={"help": "step size of Adam for the network", "min": 0.0, "only": _TUNING}
    )
    finetune_size: int = field(
        default=224,
        metadata={
            "help": "side in pixels of the square pieces it learns from",
            "min": 32,
            "max": 1024,
            "only": _TUNING,
        },
    )
    schedule: Literal["cosine", "constant"] = field(
        default="cosine", metadata={"help": "course of the network's step size after the warm-up", "only": _TUNING}
    )
    warm_up: int = field(
        default=20, metadata={"help": "steps over which its step size grows from 0", "min": 0, "only": _TUNING}
    )
    precision: Literal["float32", "bf16"] = field(
        default="float32",
        metadata={"help": "arithmetic of the network while it learns; bf16 is mixed precision", "only": _TUNING},
    )
    accumulate: int = field(
        default=1,
        metadata={
            "help": "parts that a batch is computed in, to save memory; the loss is that of the whole",
            "min": 1,
            "only": _TUNING,
        },
    )
    augment: bool = field(
        default=True,
        metadata={
            "help": "fine-tune on random pieces of photos in changing light, else on the middle",
            "only": _TUNING,
        },
    )


@dataclass(frozen=True)
class JointWeights:
    """How much each part of the joint objective counts; measured, not for the command line.

    Where no pair is known, discovered neighbours count as much as pairs would.
    """

    pairwise: float = field(default=1.0, metadata={"cli": False})
    neighbours: float = field(default=0.3, metadata={"cli": False})
    constraint: float = field(default=0.3, metadata={"cli": False})
    preserve: float = field(default=2.0, metadata={"cli": False})
    quantise: float = field(default=0.1, metadata={"cli": False})
    balance: float = field(default=0.5, metadata={"cli": False})
    back: float = field(default=0.3, metadata={"cli": False})  # share of the way that 32 bits go back to ITQ
    unlabelled_start: bool = field(default=True, metadata={"cli": False})  # begin as suits photos without labels
    unit_margin: float = field(default=0.15, metadata={"cli": False})  # where local units start to fire (local.py)
    units_alone: float = field(default=0.4, metadata={"cli": False})  # times the steps that units learn on at the end


@dataclass(frozen=True)
class TrainOptions:
    """How codes are learnt. The defaults are what measured best on photos of places."""

    bits: tuple[int, ...] = field(
        default=(64,),
        metadata={
            "help": "code lengths, each gets a head of its own",
            "min": BITS_MIN,
            "max": BITS_MAX,
            "metavar": "N[,N...]",
        },
    )
    objective: Literal["joint", "bcdh", "dsah"] = field(
        default="joint",
        metadata={
            "help": "joint (pairs, neighbours and information weights together), bcdh (pairwise constrained loss on "
            "pairs) or dsah (neighbour discovery alone)"
        },
    )
    describe: BackboneOptions = field(default_factory=BackboneOptions)
    photos: Path | None = field(
        default=None,
        metadata={
            "help": "learn from this folder or list file of photos by neighbour discovery alone, without pairs",
            "metavar": "DIR|LIST",
        },
    )
    benchmark: str | None = field(
        default=None, metadata={"help": "learn from the training split of a benchmark instead", "metavar": "NAME"}
    )
    root: Path | None = field(default=None, metadata={"help": "where the benchmark's files are", "metavar": "PATH"})
    seed: int = field(default=0, metadata={"help": "seed of everything random", "min": 0})
    steps: int = field(default=500, metadata={"help": "optimisation steps for each code length", "min": 0})
    learning_rate: float = field(default=5e-3, metadata={"help": "step size of Adam", "min": 0.0})
    batch_pairs: int = field(default=96, metadata={"help": "similar pairs in a batch", "min": 1})
    batch_others: int = field(default=128, metadata={"help": "random other photos in a batch", "min": 0})
    pca: int = field(default=256, metadata={"help": "dimensions of the descriptor that heads see", "min": 1})
    hidden: int = field(
        default=512,
        metadata={
            "help": "units of a hidden layer beside the linear one, in joint and where at least 2,000 photos are "
            "learnt from; with fewer, codes of up to 16 bits have a unit for each photo with 3D labels; 0 none",
            "min": 0,
            "max": 8192,
        },
    )
    noise: float = field(
        default=0.3, metadata={"help": "noise on descriptors, in standard deviations of a dimension", "min": 0.0}
    )
    pairs: bool = field(default=True, metadata={"help": "learn from pairs that 3D geometry found"})
    pairwise: bool = field(default=True, metadata={"help": "pairwise constrained part of joint"})
    neighbours: bool = field(default=True, metadata={"help": "neighbour discovery part of joint"})
    information: bool = field(default=True, metadata={"help": "information weights of joint and dsah"})
    binary_step: bool = field(default=True, metadata={"help": "alternate with binary codes (B-step)"})
    balance: bool = field(default=True, metadata={"help": "balanced and uncorrelated bits in joint"})
    preserve: bool = field(default=True, metadata={"help": "keep the geometry of the float descriptors in joint"})
    recentre: bool = field(
        default=True, metadata={"help": "set each bit's threshold to its median over the photos learnt from"}
    )
    margin: float = field(
        default=0.25, metadata={"help": "Hamming distance that dissimilar pairs should reach, as a share of the bits"}
    )
    temperature: float = field(default=0.3, metadata={"help": "temperature of contrast in joint", "min": 0.01})
    neighbourhood: int = field(
        default=6,
        metadata={
            "help": "nearest photos that neighbour discovery starts from; a quarter of the square root of the number "
            "of photos where that is more",
            "min": 1,
        },
    )
    joint: JointWeights = field(default_factory=JointWeights)
    faithful: bool = field(
        default=False,
        metadata={"help": "dsah with the loss, optimiser and number of steps of its published code, defects mended"},
    )
    nested: bool = field(
        default=False,
        metadata={"help": "one head for all lengths: the first bits of a long code are the short code (Matryoshka)"},
    )
    patience: int = field(
        default=0,
        metadata={
            "help": "stop early after so many of 16 validations without a better one, on places of the split val, "
            "and keep the best; 0 never",
            "min": 0,
        },
    )
    tune: FinetuneOptions = field(default_factory=FinetuneOptions)
    tensorboard: bool = field(default=False, metadata={"help": "write events for TensorBoard into the model folder"})

    def __post_init__(self) -> None:
        for bits in self.bits:
            if isinstance(bits, bool) or not isinstance(bits, int) or not BITS_MIN <= bits <= BITS_MAX:
                raise UserError(f"--bits is {bits}; give a code length of {BITS_MIN} to {BITS_MAX}.")
        if not self.bits:
            raise UserError(f"--bits is empty; give a code length of {BITS_MIN} to {BITS_MAX}.")
        object.__setattr__(self, "bits", tuple(sorted(set(self.bits))))
        if self.photos is not None and self.benchmark is not None:
            raise UserError("--photos and --benchmark exclude each other; give one of them.")
        if self.benchmark is not None and self.root is None:
            raise UserError(f"--benchmark {self.benchmark} needs its files; name them with --root PATH.")
        if self.benchmark is None and self.root is not None:
            raise UserError("--root belongs to a benchmark; name it with --benchmark, or leave --root away.")


@dataclass(frozen=True)
class AdaptOptions:
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
    seed: int = field(default=0, metadata={"help": "seed of everything random", "min": 0})
    device: Literal["auto", "cpu", "cuda"] = field(default="auto", metadata={"help": "where networks run"})
