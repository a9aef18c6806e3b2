"""`hashpipe groups undo`: every photo of the last action back under its old name, with its bytes and times."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, open_workspace
from hashpipe.common.progress import stage
from hashpipe.hashing.curation import steps
from hashpipe.hashing.curation.action_log import DONE, FOLDER, ActionLog, Step
from hashpipe.hashing.curation.apply import settle_all
from hashpipe.hashing.curation.result import UndoResult


def undo(workspace: Path, everything: bool = False) -> UndoResult:
    """Take back the last action that is not taken back yet, or all; called again, the one before it. Raises UserError.

    A photo whose old name something else has by now stays where it is, and is listed.
    """
    workspace = open_workspace(workspace, create=False)
    with locked(workspace / FOLDER):
        open_logs = [log for log in settle_all(workspace) if any(one.state == DONE for one in log.steps.values())]
        if not open_logs:
            raise UserError(f"Nothing was done to groups of {workspace} that is not undone; there is nothing to undo.")
        back: list[Path] = []
        left: list[tuple[Path, str]] = []
        chosen = open_logs[::-1] if everything else open_logs[-1:]
        for log in chosen:
            _undo(log, back, left)
        return UndoResult([log.path for log in chosen], back, left)


def _undo(log: ActionLog, back: list[Path], left: list[tuple[Path, str]]) -> None:
    waiting = [step for step in reversed(log.steps.values()) if step.state == DONE]
    with stage(f"undo {log.name}", len(waiting), "photos") as advance:
        for step in waiting:
            source = Path(step.record["source"])
            try:
                _take_back(log, step)
                back.append(source)
            except steps.LeftAlone as reason:
                left.append((source, str(reason)))
            except OSError as error:
                steps.settle(log, step)
                left.append((source, f"{(error.strerror or str(error)).lower()} ({error.filename2 or error.filename})"))
            advance(1)


def _take_back(log: ActionLog, step: Step) -> None:
    (steps.unlink if step.record["action"] == "hardlink" else steps.unmove)(log, step)
    for folder in step.record.get("made", []):  # the innermost first; those that hold anything stay
        with contextlib.suppress(OSError):
            os.rmdir(folder)
