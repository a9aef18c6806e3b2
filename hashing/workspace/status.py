"""Status of a workspace: its parts, which of them rest on others that have changed, and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.common.files import open_workspace
from hashpipe.hashing.workspace.parts import Part, read_parts

# what makes a part anew
_MAKES = {
    "pairs": "hashpipe pairs build {photos}",
    "model": "hashpipe train",
    "eval": "hashpipe eval",
    "codes": "hashpipe encode {photos}",
    "index": "hashpipe index build",
    "calibration": "hashpipe calibrate",
    "groups": "hashpipe groups",
    "adapted": "hashpipe adapt PHOTOS",
}


@dataclass(frozen=True)
class Stale:
    """A part that rests on something that has changed since: why, and the command that makes it anew."""

    part: str
    why: str
    command: str


@dataclass(frozen=True)
class Status:
    """What a workspace holds and what to do with it. next: a command, and why it is the next one."""

    folder: Path
    parts: tuple[Part, ...]
    stale: tuple[Stale, ...]
    next: str
    why: str

    def as_json(self) -> dict[str, Any]:
        parts = {one.name: {**one.facts, **({"damaged": one.damaged} if one.damaged else {})} for one in self.parts}
        where = f" -w {shlex.quote(str(self.folder))}"
        stale = [{"part": one.part, "why": one.why, "command": one.command + where} for one in self.stale]
        return {
            "workspace": str(self.folder),
            "parts": parts,
            "stale": stale,
            "next": self.next + where,
            "why": self.why,
        }

    def as_text(self) -> str:
        lines = [f"workspace    {self.folder}"]
        lines += [f"{one.name:<12} {one.damaged or one.says}" for one in self.parts]
        lines += [] if self.parts else ["empty"]
        lines += [f"stale: {one.part} ({one.why}); run `{one.command}`" for one in self.stale]
        return "\n".join([*lines, f"next: {self.next}  ({self.why})"])


def status(workspace: Path) -> Status:
    """Read what a workspace holds; changes nothing. Raises UserError where it is no workspace."""
    folder = open_workspace(workspace, create=False)
    parts = read_parts(folder)
    stale = tuple(_stale(parts))
    command, why = next_step(parts, stale)
    return Status(folder, tuple(parts.values()), stale, command, why)


def next_step(parts: Mapping[str, Part], stale: tuple[Stale, ...]) -> tuple[str, str]:
    """The next command and why: what was stopped, what is stale, then what is missing."""
    if "pairs" not in parts and "model" not in parts and "run" not in parts:
        return _command("pairs", parts), "there are no pairs yet; `hashpipe train --photos DIR` learns without"
    if "run" in parts:
        return _command("model", parts), "a training was stopped and continues"
    if stale:
        return stale[0].command, f"{stale[0].part}: {stale[0].why}"
    if "model" not in parts:
        return _command("model", parts), "there is no model yet"
    if "encoding" in parts:
        return _command("codes", parts), "an encoding was stopped and continues"
    needed = {
        "eval": "not scored yet",
        "codes": "no codes yet",
        "index": "no index yet",
        "calibration": "no radius yet",
    }
    for name, why in needed.items():
        if name not in parts and ("pairs" in parts or name in ("codes", "index")):
            return _command(name, parts), why
    return "hashpipe search PHOTO", "everything is there"


def _stale(parts: Mapping[str, Part]) -> Iterator[Stale]:
    """Parts whose record of what they were made from is not what is there now."""
    for name, why in _differences(parts):
        yield Stale(name, why, _command(name, parts))
    for one in parts.values():
        if one.damaged:
            yield Stale(one.name, one.damaged, _command(one.name, parts))


def _differences(parts: Mapping[str, Part]) -> Iterator[tuple[str, str]]:
    def fact(part: str, name: str) -> Any:
        return parts[part].facts.get(name) if part in parts else None

    def differs(part: str, name: str, other: str, its: str) -> bool:
        mine, theirs = fact(part, name), fact(other, its)
        return mine is not None and theirs is not None and mine != theirs

    if differs("model", "pairset", "pairs", "fingerprint"):
        yield "model", "learnt from other pairs than there are now"
    if differs("eval", "model", "model", "fingerprint") or differs("eval", "pairs", "pairs", "fingerprint"):
        yield "eval", "scored another model or other pairs"
    if differs("adapted", "adapted_from", "model", "fingerprint"):
        yield "adapted", "adapted from another model"
    if differs("codes", "model", "model", "fingerprint") and fact("codes", "model") != fact("adapted", "fingerprint"):
        yield "codes", "made by another model"
    if differs("index", "space", "codes", "space"):
        yield "index", "holds codes of another model or length"
    elif (fact("index", "photos") or 0) < (fact("codes", "photos") or 0) and fact("index", "photos") is not None:
        yield "index", f"holds {fact('index', 'photos')} of {fact('codes', 'photos')} encoded photos"
    for name in ("calibration", "groups"):
        if differs(name, "space", "codes", "space"):
            yield name, "made of other codes"
        elif differs(name, "pairs", "pairs", "fingerprint"):
            yield name, "made of other pairs"


def _command(part: str, parts: Mapping[str, Part]) -> str:
    """The command that makes a part, with the folder of photos where it is known."""
    roots = [parts[name].facts.get("root") for name in ("pairs", "codes") if name in parts]
    if "model" in parts:
        roots.append((parts["model"].facts.get("source") or {}).get("photos"))
    root = next((root for root in roots if root), None)
    return _MAKES.get(part, "hashpipe status").format(photos="PHOTOS" if root is None else shlex.quote(str(root)))
