"""Heads that learn: one file for each, found by its name; their formulas stand in models/heads.py."""

from __future__ import annotations

from hashpipe.common.errors import UserError
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.heads.linear import LinearHead

HEADS: dict[str, type[TrainedHead]] = {"linear": LinearHead}


def head_class(name: str) -> type[TrainedHead]:
    """The head of this name. Raises UserError for an unknown one."""
    if name not in HEADS:
        raise UserError(f"--head {name} is not known; choose {' or '.join(HEADS)}.")
    return HEADS[name]
