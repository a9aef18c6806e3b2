"""The course of a training as events for TensorBoard, where its package is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError


def check() -> None:
    """Raise UserError where the package is missing, before hours of learning."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UserError(
            "--tensorboard needs a package that is missing; run pip install 'hashpipe[tensorboard]'."
        ) from None


def recorder(folder: Path) -> Callable[[dict[str, Any]], None]:
    """A function that takes lines of metrics and writes their numbers into event files in `folder`."""
    check()
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def record(line: dict[str, Any]) -> None:
        of = line.get("of", f"{line['bits']} bits")
        for name, value in line.items():
            if name not in ("bits", "step") and isinstance(value, (int, float)):
                writer.add_scalar(f"{of}/{name}", value, line["step"])
        writer.flush()

    return record
