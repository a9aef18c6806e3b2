"""The parts of a workspace as their own files describe them; nothing large is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json


@dataclass(frozen=True)
class Part:
    """One part that is there.

    says: one line for people; facts: for JSON and for comparing parts; damaged: why it cannot be read, "" where it can.
    """

    name: str
    says: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    damaged: str = ""


def read_parts(folder: Path) -> dict[str, Part]:
    """The parts that a workspace holds, by name, in the order in which they are made."""
    found = {}
    for name, (where, read) in _READERS.items():
        path = folder / where
        if not path.exists():
            continue
        try:
            says, facts = read(path)
            found[name] = Part(name, says, facts)
        except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = str(error) if isinstance(error, UserError) else f"{path} lacks {error}"
            found[name] = Part(name, damaged=reason)
    return found


def _pairs(path: Path) -> tuple[str, dict[str, Any]]:
    meta = read_json(path)
    counts, summary = meta["counts"], meta.get("summary", {})
    facts = {"fingerprint": meta["fingerprint"], "photos": counts["photos"], "pairs": counts["pairs"]}
    facts |= {"root": meta.get("root", ""), "places": summary.get("places"), "imported": "imported" in meta}
    places = "" if facts["places"] is None else f"{facts['places']} places, "
    return f"{places}{facts['pairs']} pairs of {facts['photos']} photos in {facts['root']}", facts


def _model(path: Path) -> tuple[str, dict[str, Any]]:
    config = read_json(path)
    facts = {name: config.get(name) for name in ("fingerprint", "pairset", "bits", "objective", "photos")}
    facts |= {"backbone": config["describer"]["backbone"], "adapted_from": config.get("adapted_from")}
    facts["source"] = config.get("source") or {}
    bits = ", ".join(map(str, config["bits"]))
    source = "" if facts["photos"] is None else f", from {facts['photos']} photos"
    return f"{facts['objective'] or 'codes'}, {bits} bits, {facts['backbone']}{source}", facts


def _codes(path: Path) -> tuple[str, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is not a complete codes file ({error}); encode the photos again.") from None
    meta = {key.decode(): value.decode() for key, value in (footer.metadata or {}).items() if key != b"ARROW:schema"}
    facts = {"photos": footer.num_rows, "bits": int(meta["bits"]), "model": meta["model"], "space": meta["space"]}
    return f"{facts['photos']} photos, {facts['bits']} bits", {**facts, "root": meta["root"]}


def _index(path: Path) -> tuple[str, dict[str, Any]]:
    meta = read_json(path)
    facts = {"photos": meta["count"], "kind": meta["kind"], "model": meta["space"]["model"]}
    return f"{meta['count']} photos, {meta['kind']}", {**facts, "space": meta["space"]["fingerprint"]}


def _calibration(path: Path) -> tuple[str, dict[str, Any]]:
    stored = read_json(path)
    facts = {name: stored[name] for name in ("radius", "bits", "space", "pairs", "wanted")}
    return f"radius {stored['radius']} of {stored['bits']} bits", facts


def _eval(path: Path) -> tuple[str, dict[str, Any]]:
    stored = read_json(path)
    names = [one["protocol"] for one in stored["protocols"]]
    facts = {"model": stored.get("model"), "pairs": stored.get("pairs"), "protocols": names}
    return ", ".join(names), facts


def _groups(path: Path) -> tuple[str, dict[str, Any]]:
    stored = read_json(path)
    rules = stored["rules"]
    return f"{len(stored['groups'])} groups", {"space": rules.get("space"), "pairs": rules.get("pairs")}


def _stopped(what: str) -> Callable[[Path], tuple[str, Mapping[str, Any]]]:
    return lambda path: (what, {})


_READERS: dict[str, tuple[str, Callable[[Path], tuple[str, Any]]]] = {
    "pairs": ("pairs/meta.json", _pairs),
    "run": ("run/state.safetensors", _stopped("a training that was stopped; the same `train` continues it")),
    "model": ("model/config.json", _model),
    "eval": ("eval/eval.json", _eval),
    "encoding": ("codes.parquet.parts", _stopped("an encoding that was stopped; the same `encode` continues it")),
    "codes": ("codes.parquet", _codes),
    "index": ("index/index.json", _index),
    "calibration": ("calibration.json", _calibration),
    "groups": ("groups/groups.json", _groups),
    "adapted": ("adapted/config.json", _model),
}
