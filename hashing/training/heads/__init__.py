"""Heads that learn: one file for each, found by its name; their formulas stand in models/heads.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from hashpipe.common.errors import UserError
from hashpipe.hashing.models.heads import FORMULAS
from hashpipe.hashing.training.heads.attention import AttentionHead
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.heads.divide import DivideHead
from hashpipe.hashing.training.heads.divided import DividedHead
from hashpipe.hashing.training.heads.layers import LayersHead
from hashpipe.hashing.training.heads.linear import LinearHead
from hashpipe.hashing.training.heads.parts import PartsHead
from hashpipe.hashing.training.heads.pyramid import PyramidHead
from hashpipe.hashing.training.heads.recurrent import RecurrentHead
from hashpipe.hashing.training.heads.spatial import SpatialHead
from hashpipe.hashing.training.heads.views import ViewsHead
from hashpipe.hashing.training.heads.vlad import VladHead

HEADS: dict[str, type[TrainedHead]] = {
    "linear": LinearHead,
    "attention": AttentionHead,
    "divide": DivideHead,
    "divided": DividedHead,
    "layers": LayersHead,
    "recurrent": RecurrentHead,
    "spatial": SpatialHead,
    "parts": PartsHead,
    "vlad": VladHead,
    "pyramid": PyramidHead,
    "views": ViewsHead,
}


def head_class(name: str) -> type[TrainedHead]:
    """The head of this name. Raises UserError for an unknown one."""
    if name not in HEADS:
        near = get_close_matches(name, HEADS, n=3) or HEADS
        raise UserError(f"--head {name} is not known; choose {' or '.join(near)}.")
    return HEADS[name]


def reads_maps(name: str) -> bool:
    """Whether the head of this name reads feature maps."""
    return FORMULAS[head_class(name).kind].reads == "maps"


def check_head(name: str, networks: Sequence[str], finetuned: bool) -> None:
    """Raise UserError for a head that reads maps where there are none, or where the network learns too.

    networks: the one that describes photos, or several; several do not learn.
    """
    if finetuned and len(networks) > 1:
        raise UserError(f"--finetune takes one network, and --backbone names {len(networks)}; name one, or omit it.")
    if not reads_maps(name):
        return
    if len(networks) > 1:
        raise UserError(
            f"--set head={name} reads feature maps of one network, and --backbone names {len(networks)}; name one, or "
            "another head."
        )
    if networks[0] in ("vlad", "onnx"):
        raise UserError(
            f"--set head={name} reads feature maps and {networks[0]} has none; name a network with --backbone, or "
            "omit it."
        )
    if finetuned:
        raise UserError(
            f"--finetune does not go with --set head={name}, whose feature maps are computed once; omit one of them."
        )


def check_lengths(name: str, lengths: Iterable[int]) -> None:
    """Raise UserError for a code length that the head of this name cannot make."""
    multiple = head_class(name).multiple
    for bits in lengths:
        if bits % multiple:
            near = sorted({max(multiple, bits // multiple * multiple), (bits // multiple + 1) * multiple})
            raise UserError(
                f"--bits {bits} does not go with the head {name}, whose codes come in groups of {multiple} bits; give "
                f"{' or '.join(map(str, near))}."
            )
