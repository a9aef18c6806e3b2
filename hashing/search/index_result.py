"""What a command did to an index, and what the index holds now, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.hashing.search import faiss_indexes


@dataclass(frozen=True)
class IndexResult:
    """What was done to an index, and what it holds now (`meta`: its index.json)."""

    folder: Path
    meta: dict[str, Any]
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    not_found: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        space, numbers = self.meta["space"], self.meta["parameters"]
        return {
            "index": str(self.folder),
            "kind": self.meta["kind"],
            "photos": self.meta["count"],
            "bits": space["bits"],
            "model": space["model"],
            "space": space["fingerprint"],
            "revision": self.meta["revision"],
            "parameters": numbers,
            "sure_radius": faiss_indexes.sure_radius(self.meta["kind"], numbers),
            **(self.meta["recall"] or {"recall": 1.0}),
            "bytes": sum(entry["bytes"] for entry in self.meta["files"].values()),
            "added": self.added,
            "replaced": self.replaced,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "not_found": list(self.not_found),
        }

    def as_text(self) -> str:
        said = self.as_json()
        lines = [
            f"{said['photos']} photos, {said['bits']} bits, {said['kind']}, in {self.folder}",
            *[f"{said[name]} {name}" for name in ("added", "replaced", "unchanged", "removed") if said[name]],
            f"model {said['model']}, space {said['space']}, revision {said['revision']}, {said['bytes'] / 1e6:.1f} MB",
        ]
        if self.meta["recall"]:
            told = ", ".join(f"{name} {value}" for name, value in said["parameters"].items())
            lines.append(
                f"{said['kind']} ({told}): recall@{said['k']} {said['recall']:.3f} against flat, "
                f"measured on {said['queries']} of its own codes"
            )
        if said["sure_radius"] >= 0:
            lines.append(f"nothing within distance {said['sure_radius']} is ever missed")
        lines += [f"not in the index: {name}" for name in self.not_found]
        return "\n".join(lines)
