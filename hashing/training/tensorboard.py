"""The course of a training as events for TensorBoard, where its package is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hashpipe.common.distribution import install_advice
from hashpipe.common.errors import UserError
from hashpipe.common.extras import optional


def check() -> None:
    """Raise UserError where the package is missing, before hours of learning."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UserError(f"--tensorboard needs the package tensorboard; {install_advice('tensorboard')}.") from None


def recorder(folder: Path) -> Callable[[dict[str, Any]], None]:
    """A function that takes lines of metrics and writes their numbers into event files in `folder`.

    Where they cannot be written it says so once and writes no more.
    """
    check()
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    written = True

    def record(line: dict[str, Any]) -> None:
        nonlocal written
        if not written:
            return
        written = False
        with optional("The TensorBoard events", "the training"):
            of = line.get("of", f"{line['bits']} bits")
            for name, value in line.items():
                if name not in ("bits", "step") and isinstance(value, (int, float)):
                    writer.add_scalar(f"{of}/{name}", value, line["step"])
            writer.flush()
            written = True

    return record
