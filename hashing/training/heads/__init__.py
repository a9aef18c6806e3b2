"""Heads that learn: one file for each, found by its name; their formulas stand in models/heads.py."""

from __future__ import annotations

from hashpipe.common.errors import UserError
from hashpipe.hashing.models.heads import FORMULAS
from hashpipe.hashing.training.heads.attention import AttentionHead
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.heads.linear import LinearHead

HEADS: dict[str, type[TrainedHead]] = {"linear": LinearHead, "attention": AttentionHead}


def head_class(name: str) -> type[TrainedHead]:
    """The head of this name. Raises UserError for an unknown one."""
    if name not in HEADS:
        raise UserError(f"--head {name} is not known; choose {' or '.join(HEADS)}.")
    return HEADS[name]


def reads_maps(name: str) -> bool:
    """Whether the head of this name reads feature maps."""
    return FORMULAS[head_class(name).kind].reads == "maps"


def check_head(name: str, backbone: str, finetuned: bool) -> None:
    """Raise UserError for a head that reads maps where there are none, or where the network learns too."""
    if not reads_maps(name):
        return
    if backbone == "vlad":
        raise UserError(
            f"--set head={name} reads feature maps and VLAD has none; name a network with --backbone, or omit it."
        )
    if finetuned:
        raise UserError(
            f"--finetune does not go with --set head={name}, whose feature maps are computed once; omit one of them."
        )
