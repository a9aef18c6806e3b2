"""What the campaign runs: commands over a workspace that holds an older result of each, and what their results are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HASHPIPE = (sys.executable, "-m", "hashpipe.cli.start")
_VOLATILE = {"seconds", "environment", "made_at", "folder", "revision", "name", "timings", "path", "plot", "files"}


@dataclass(frozen=True)
class Command:
    """A command line with {photos}, {ws} and {half} in it; `result` is what it replaces in the workspace."""

    name: str
    arguments: tuple[str, ...]
    result: str


@dataclass(frozen=True)
class Ground:
    """Photos, codes of half of them, and the workspace that every case starts from a copy of."""

    folder: Path
    photos: Path
    half: Path
    base: Path
    commands: tuple[Command, ...]
    limit: float = 600.0  # seconds that any command may take

    def line(self, command: Command, workspace: Path) -> list[str]:
        named = {"photos": self.photos, "ws": workspace, "half": self.half}
        return [*HASHPIPE, *(one.format(**named) for one in command.arguments)]


_BUILD = ("pairs", "build", "{photos}", "-w", "{ws}", "--max-side", "480", "--max-features", "2000")
_TRAIN = ("train", "--unsupervised", "--bits", "16,32", "--steps", "40", "-w", "{ws}")
_EVAL = ("eval", "-w", "{ws}", "--rounds", "100", "--baselines", "itq", "--no-unseen")
_ADAPT = ("adapt", "{photos}", "-w", "{ws}", "--steps", "40")
_EXPORT = ("export", "codes", "-w", "{ws}", "--to")

# what makes the base, in order
CHAIN = (
    _BUILD,
    _TRAIN,
    ("encode", "{photos}", "-w", "{ws}", "--bits", "16"),
    ("encode", "{photos}", "-w", "{ws}", "--bits", "16", "--shard", "1/2", "-o", "{half}"),
    ("index", "build", "{half}", "-w", "{ws}"),
    _EVAL,
    ("calibrate", "-w", "{ws}"),
    ("groups", "-w", "{ws}"),
    *((*_EXPORT, kind, "--codes", "{half}") for kind in ("csv", "faiss", "npy")),
    _ADAPT,
)

# what the cases run: each gives another result than the base holds
COMMANDS = (
    Command("pairs build", (*_BUILD, "--seed", "1"), "pairs"),
    Command("train", (*_TRAIN, "--seed", "1"), "model"),
    Command("adapt", (*_ADAPT, "--seed", "1"), "adapted"),
    Command("encode", ("encode", "{photos}", "-w", "{ws}", "--bits", "32"), "codes.parquet"),
    Command("index add", ("index", "add", "{ws}/codes.parquet", "-w", "{ws}"), "index"),
    Command("index build", ("index", "build", "-w", "{ws}", "--kind", "hnsw"), "index"),
    Command("eval", (*_EVAL, "--seed", "1"), "eval"),
    Command("calibrate", ("calibrate", "-w", "{ws}", "--false-match-rate", "0.05"), "calibration.json"),
    Command("groups", ("groups", "-w", "{ws}", "--radius", "2"), "groups"),
    *(Command(f"export {kind}", (*_EXPORT, kind), f"export/{kind}") for kind in ("csv", "faiss", "npy")),
)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HASHPIPE_")}
    return {**kept, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}


def full_ground(folder: Path) -> Ground:
    """Rendered photos and the whole chain on them; made once and taken up again."""
    from hashpipe.pairgen.synthetic.demo_photos import write_demo_photos

    ground = Ground(folder, folder / "photos", folder / "half.parquet", folder / "base", COMMANDS)
    if not ground.photos.exists():
        write_demo_photos(ground.photos, places=3, views=6, distractors=2, size=(480, 360), seed=0)
    if not (folder / "base.done").exists():
        shutil.rmtree(ground.base, ignore_errors=True)
        for arguments in CHAIN:
            line = ground.line(Command("", arguments, ""), ground.base)
            subprocess.run(line, check=True, env=environment(), stdout=subprocess.DEVNULL)
        (folder / "base.done").touch()
    return ground


def digests(workspace: Path) -> dict[str, str]:
    """A fingerprint of every result of a workspace, by name; of what differs from run to run nothing counts."""
    names = ["pairs", "model", "adapted", "codes.parquet", "index", "eval", "calibration.json", "groups"]
    names += [f"export/{kind}" for kind in ("csv", "faiss", "npy")]
    return {name: _digest(workspace / name, workspace) for name in names}


def _digest(path: Path, workspace: Path) -> str:
    digest = hashlib.sha256()
    for one in _files(path):
        digest.update(_content(one, workspace))
    return digest.hexdigest()[:16] if path.exists() else "missing"


def _files(path: Path) -> list[Path]:
    """The files that are the result; reports, pictures, logs and caches are made from them."""
    wanted = {
        "pairs": ("meta.json", "photos.parquet", "pairs.parquet", "place_relations.parquet"),
        "model": ("config.json", "model.safetensors"),
        "adapted": ("config.json", "model.safetensors"),
        "index": ("index.json",),
        "eval": ("eval.json",),
        "groups": ("groups.csv", "groups.json"),
    }
    if path.name in wanted:
        return [path / name for name in wanted[path.name]]
    return [path] if path.suffix else sorted(one for one in path.glob("*") if not one.name.startswith("."))


def _content(path: Path, workspace: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        return b"missing"
    if path.suffix == ".json":
        content = json.dumps(_lasting(json.loads(content)), sort_keys=True).encode()
    for place in (workspace, workspace.with_name("base")):  # what was copied still names where it was made
        content = content.replace(str(place).encode(), b"WS")
    return content


def _lasting(value: Any) -> Any:
    """JSON without what differs from run to run; of the files of an index their checksums stay."""
    if isinstance(value, dict):
        sums = [one["sha256"] for one in value["files"].values()] if isinstance(value.get("files"), dict) else []
        return {**{key: _lasting(one) for key, one in value.items() if key not in _VOLATILE}, "sums": sums}
    return [_lasting(one) for one in value] if isinstance(value, list) else value
