"""How tests start the console script: its own process, its own environment."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("hashpipe")


def environment(**extra: str) -> dict[str, str]:
    """A plain terminal of 80 columns; no variable of this machine decides anything."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HASHPIPE_")}
    return {**kept, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", **extra}


def default_signals() -> None:
    """For preexec_fn: a process started by a background job would otherwise inherit that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
