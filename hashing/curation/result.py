"""What acting on groups and undoing it say, to people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.hashing.curation.plan import Act
from hashpipe.hashing.data.listing import shown

_NAMED = 20  # photos that people see by name; JSON has all
_VERBS = {
    "move": ("moved", "move"),
    "trash": ("put into the trash", "put into the trash"),
    "hardlink": ("linked", "link"),
}


@dataclass(frozen=True)
class Done:
    """One photo that was, or would be, acted on, and its new path, None where it has none yet."""

    act: Act
    target: Path | None


@dataclass(frozen=True)
class ApplyResult:
    """What was done, or would be.

    left: photos of groups that were left alone, with the reason; before: those that were dealt with before.
    """

    how: str
    acted: bool
    sets: int
    photos: list[Done]
    left: list[tuple[Path, str]]
    before: list[tuple[Path, str]]
    log: Path | None

    @property
    def code(self) -> int:
        """Exit code: 1 where photos were left alone."""
        return 1 if self.left else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "action": self.how,
            "dry_run": not self.acted,
            "groups": self.sets,
            "photos": [
                {
                    "path": one.act.photo.path,
                    "to": one.target,
                    "keep": one.act.keep.path,
                    "kind": one.act.kind,
                    "bytes": one.act.photo.bytes,
                }
                for one in self.photos
            ],
            "bytes": sum(one.act.photo.bytes for one in self.photos),
            "left_alone": [{"path": path, "reason": reason} for path, reason in self.left],
            "before": [{"path": path, "reason": reason} for path, reason in self.before],
            "log": self.log,
        }

    def as_text(self) -> str:
        verb = _VERBS[self.how]
        lines = []
        for one in self.photos[:_NAMED]:
            target = "" if one.target is None else f" to {shown(str(one.target))}"
            lines.append(
                f"  {verb[not self.acted]} {shown(str(one.act.photo.path))}{target}  "
                f"({one.act.kind} copy of {shown(str(one.act.keep.path))})"
            )
        lines += _more(len(self.photos))
        lines += _left(self.left)
        if self.before:
            lines.append(f"{len(self.before)} photo{'s were' if len(self.before) != 1 else ' was'} dealt with before.")
        size = sum(one.act.photo.bytes for one in self.photos) / 1e6
        count = f"{len(self.photos)} photo{'s'[: len(self.photos) != 1]} ({size:.1f} MB)"
        if self.acted:
            lines.append(f"{count} {verb[0]}." + (" `hashpipe groups undo` takes it back." if self.photos else ""))
        else:
            lines.append(f"Would {verb[1]} {count}. Nothing was changed; add --do to do it.")
        return "\n".join(lines)


@dataclass(frozen=True)
class UndoResult:
    """Logs that were taken back, photos that have their names again, and those that have not, with the reason."""

    logs: Sequence[Path]
    back: list[Path]
    left: list[tuple[Path, str]]

    @property
    def code(self) -> int:
        """Exit code: 1 where photos are not back."""
        return 1 if self.left else 0

    def as_json(self) -> dict[str, Any]:
        left = [{"path": path, "reason": reason} for path, reason in self.left]
        return {"logs": list(self.logs), "restored": self.back, "left_alone": left}

    def as_text(self) -> str:
        lines = [f"  restored {shown(str(path))}" for path in self.back[:_NAMED]]
        lines += [*_more(len(self.back)), *_left(self.left)]
        return "\n".join([*lines, f"{len(self.back)} photo{'s'[: len(self.back) != 1]} restored."])


def _more(count: int) -> list[str]:
    return [f"  and {count - _NAMED} more; --json lists all"] if count > _NAMED else []


def _left(left: Sequence[tuple[Path, str]]) -> list[str]:
    if not left:
        return []
    lines = [f"Left alone: {len(left)} photo{'s'[: len(left) != 1]}"]
    lines += [f"  {shown(str(path))}: {reason}" for path, reason in left[:_NAMED]]
    return [*lines, *_more(len(left))]
