"""One photo moved, put into the trash or made a hard link; finished or taken back after a kill; and undone.

Every step is announced in the action log before anything changes. What a killed step has left is told from the
files themselves, so that settling it may be killed as well. No name that something has is ever given away.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Any

from hashpipe.hashing.curation import files
from hashpipe.hashing.curation.action_log import BEGUN, DONE, RETURNING, UNDONE, ActionLog, Step
from hashpipe.hashing.curation.trash import write_info


class LeftAlone(Exception):
    """Why a photo was not acted on, as a phrase."""


def token_name(path: Path) -> Path:
    """A hidden name beside a file that nobody else uses."""
    return path.with_name(f".hashpipe-{secrets.token_hex(8)}{path.suffix[:20]}")


def move(log: ActionLog, step: Step) -> None:
    """Give the source of a begun step the name of its target."""
    record = step.record
    source, target = Path(record["source"]), Path(record["target"])
    if info := record.get("info"):
        write_info(Path(info["path"]), info["text"])
    _carry(log, step, source, target, BEGUN)
    log.say(step, DONE)


def unmove(log: ActionLog, step: Step) -> None:
    """Give the target of a done step its old name back. Raises LeftAlone."""
    source, target = Path(step.record["source"]), Path(step.record["target"])
    if not os.path.lexists(target):
        if files.holds(source, step.record["sha256"]):  # somebody was quicker
            _forget_info(step)
            log.say(step, UNDONE)
            return
        raise LeftAlone(f"{target} is not there any more")
    if os.path.lexists(source):
        raise LeftAlone(f"something else has its old name; it stays at {target}")
    source.parent.mkdir(parents=True, exist_ok=True)
    log.say(step, RETURNING, part=str(token_name(source)), copied=None)
    _carry(log, step, target, source, RETURNING)
    _forget_info(step)
    log.say(step, UNDONE)


def link(log: ActionLog, step: Step) -> None:
    """Put a hard link to the photo that stays into the place of the source."""
    source, keep, aside = (Path(step.record[name]) for name in ("source", "keep", "part"))
    files.take_name(source, aside)
    try:
        if files.identity(aside) != step.record["identity"]:
            raise LeftAlone("it has changed just now")
        os.link(keep, source)
    except BaseException:
        files.take_name(aside, source)
        raise
    aside.unlink()
    files.sync_folder(source.parent)
    log.say(step, DONE)


def unlink(log: ActionLog, step: Step) -> None:
    """Put a file of its own with the old times into the place of a hard link. Raises LeftAlone."""
    record = step.record
    source, keep = Path(record["source"]), Path(record["keep"])
    there = os.path.lexists(source)
    if there and not files.holds(source, record["sha256"]):
        raise LeftAlone("its content has changed since it became a link")
    origin = source if there else keep
    if not there and not files.holds(keep, record["sha256"]):
        raise LeftAlone(f"it is gone, and {keep} holds its content no more")
    part = token_name(source)
    log.say(step, RETURNING, part=str(part), was=files.identity(source))
    source.parent.mkdir(parents=True, exist_ok=True)
    files.copy_checked(origin, part, record["sha256"])
    files.give_traits(part, record["traits"])
    if there:
        part.replace(source)  # of the same content
    else:
        files.take_name(part, source)
    files.sync_folder(source.parent)
    log.say(step, UNDONE)


def settle(log: ActionLog, step: Step) -> None:
    """Bring a step whose process was killed to an end: what was whole counts as done, all else is taken back."""
    if step.state not in (BEGUN, RETURNING):
        return
    back = step.state == RETURNING
    done = _settle_link(step, back) if step.record["action"] == "hardlink" else _settle_move(step, back)
    if done == back:  # the file lies where it lay at first
        _forget_info(step)
    log.say(step, (UNDONE if done else DONE) if back else (DONE if done else UNDONE))


def _carry(log: ActionLog, step: Step, source: Path, target: Path, state: str) -> None:
    """Rename, or across disks copy, compare and delete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        files.take_name(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = Path(step.notes.get("part") or step.record["part"])
        files.copy_checked(source, part, files.sha256_file(source))
        try:
            log.say(step, state, copied=files.identity(part))
            files.take_name(part, target)
        except BaseException:
            files.drop(part)
            raise
        files.sync_folder(target.parent)
        source.unlink()
    files.sync_folder(target.parent)
    files.sync_folder(source.parent)


def _settle_move(step: Step, back: bool) -> bool:
    """Whether the file has the new name (of an undo: its old one); half-made copies and second names are removed."""
    source, target = Path(step.record["source"]), Path(step.record["target"])
    if back:
        source, target = target, source
    part = Path(step.notes.get("part") or step.record["part"])
    if os.path.lexists(source):
        ours = files.identity(target)
        if ours is not None and ours == files.identity(source):  # one file under both names
            target.unlink()
        elif ours is not None and ours == step.notes.get("copied"):  # a whole copy, checked before
            source.unlink()
            return True
        files.drop(part)
        return False
    return os.path.lexists(target)


def _settle_link(step: Step, back: bool) -> bool:
    """Whether the source is a link (of an undo: a file of its own)."""
    source, keep = Path(step.record["source"]), Path(step.record["keep"])
    part = Path(step.notes.get("part") or step.record["part"])
    linked = files.identity(source) is not None and files.identity(source) == files.identity(keep)
    if back:
        files.drop(part)
        return files.identity(source) not in (None, step.notes.get("was"))
    if not os.path.lexists(part):
        return linked
    if linked:
        source.unlink()
    files.take_name(part, files.free_name(source))  # where somebody has put another file there, beside it
    return False


def _forget_info(step: Step) -> None:
    """Remove the information of a file that is in the trash no more; that of another file stays."""
    info: dict[str, Any] | None = step.record.get("info")
    if info is None:
        return
    path = Path(info["path"])
    try:
        if info["text"].startswith(path.read_text(encoding="utf-8")):  # also where it was torn while it was written
            path.unlink()
    except (OSError, UnicodeDecodeError):
        return
