"""What a command reads must survive what it writes."""

from __future__ import annotations

from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded


def keep_input(given: str | Path | None, option: str, replaced: Path, step: str) -> None:
    """Raise UserError where an input lies in, or is, what the command replaces as a whole.

    Links are followed. `option` names the input for the message, `step` says what to do instead.
    """
    if given is None:
        return
    source, target = expanded(given).resolve(), Path(replaced).resolve()
    if source == target or target in source.parents:
        raise UserError(f"{option} {given} lies in {replaced}, which is replaced, and would be lost; {step}.")
