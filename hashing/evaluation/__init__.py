"""Scores that can be trusted: exact tie-aware metrics, named protocols, baselines beside every result.

This file stays light (no torch, no FAISS): the option dataclass is imported by `--help`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hashpipe.hashing.evaluation.options import EvalOptions

if TYPE_CHECKING:
    from hashpipe.hashing.evaluation.result import EvalResult

__all__ = ["EvalOptions", "evaluate"]


def evaluate(options: EvalOptions, workspace: Path | None) -> EvalResult:
    """Score a model, or anyone's codes, by the protocol that `options` names; writes `eval/` in the workspace.

    Raises UserError for every error that the user can fix.
    """
    from hashpipe.hashing.evaluation.run import run

    return run(options, workspace)
