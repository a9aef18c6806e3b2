"""The log of actions on photos: one file of JSON lines per command, each line on disk before what it announces is done.

`actions/0001.jsonl` begins with a line about the command. Then every step has a line with all that is needed to finish
it or to take it back, and a line each for how far it came. A line that was torn by a crash announces nothing that was
begun, and is left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashpipe.common.disk import naming_full_disk
from hashpipe.common.distribution import installed_version
from hashpipe.common.errors import UserError
from hashpipe.hashing.curation.files import sync_folder

FOLDER = "actions"  # of a workspace
VERSION = 1

# states of a step; `begun` and `returning` are those that a killed process leaves unsettled
BEGUN, DONE, RETURNING, UNDONE = "begun", "done", "returning", "undone"


@dataclass
class Step:
    """One photo that was, or was about to be, acted on: its record, and how far that came."""

    number: int
    record: dict[str, Any]
    state: str = BEGUN
    notes: dict[str, Any] = field(default_factory=dict)  # what was learnt on the way, such as the number of a copy


class ActionLog:
    """An action log that is being read or written."""

    def __init__(self, path: Path, head: dict[str, Any], steps: dict[int, Step]) -> None:
        self.path, self.head, self.steps = path, head, steps

    @property
    def name(self) -> str:
        return self.path.stem

    def begin(self, number: int, record: dict[str, Any]) -> Step:
        """Announce a step; when this returns, the announcement is on disk."""
        self._write({"step": number, "state": BEGUN, **record})
        self.steps[number] = Step(number, record)
        return self.steps[number]

    def say(self, step: Step, state: str, **notes: Any) -> None:
        """Record how far a step has come; when this returns, it is on disk."""
        self._write({"step": step.number, "state": state, "notes": notes})
        step.state = state
        step.notes.update(notes)

    def _write(self, line: dict[str, Any]) -> None:
        with naming_full_disk(self.path.parent), self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                torn = file.read(1) != b"\n"
                file.write(b"\n" if torn else b"")
            file.write(json.dumps(line).encode() + b"\n")  # names of any bytes are escaped
            file.flush()
            os.fsync(file.fileno())


def new_log(folder: Path, head: dict[str, Any]) -> ActionLog:
    """Begin a log in a folder under the next number."""
    number = max([int(path.stem) for path in _files(folder)], default=0) + 1
    path = folder / f"{number:04}.jsonl"
    path.open("xb").close()
    log = ActionLog(path, {"version": VERSION, "hashpipe": installed_version(), **head}, {})
    log._write({**log.head, "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    sync_folder(folder)
    return log


def read_logs(folder: Path) -> list[ActionLog]:
    """All logs of a folder, the oldest first. Raises UserError for one that cannot be read or is of another version."""
    logs = []
    for path in _files(folder):
        try:
            lines = list(_lines(path.read_bytes()))
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); nothing was done.") from None
        if not lines:  # a process that ended before it had said anything
            continue
        if lines[0].get("version") != VERSION:
            raise UserError(f"{path} is not a log of actions that this hashpipe reads; move it away, nothing was done.")
        log = ActionLog(path, lines[0], {})
        for line in lines[1:]:
            try:
                _take(log, line)
            except (KeyError, TypeError):
                raise UserError(f"{path} is damaged at {json.dumps(line)[:80]}; nothing was done.") from None
        logs.append(log)
    return logs


def _take(log: ActionLog, line: dict[str, Any]) -> None:
    number, state = line["step"], line["state"]
    if state == BEGUN and "source" in line:
        record = {key: value for key, value in line.items() if key not in ("step", "state")}
        needed = ("action", "sha256", "keep", "part") + (() if record["action"] == "hardlink" else ("target",))
        if not all(isinstance(record[key], str) for key in (*needed, "source")):
            raise TypeError
        log.steps[number] = Step(number, record)
        return
    step = log.steps[number]
    step.state = state
    step.notes.update(line["notes"])


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.glob("*.jsonl") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def _lines(content: bytes) -> Iterator[dict[str, Any]]:
    for text in content.split(b"\n"):
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
