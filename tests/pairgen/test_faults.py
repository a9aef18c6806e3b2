"""What may happen to a build: kills at every write, a full disk, photos that vanish, databases that are none."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hashpipe.common import files
from hashpipe.common.errors import UserError
from hashpipe.pairgen import build
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import check_database
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.evidence import EVIDENCE


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HASHPIPE_")}
    return {**kept, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


QUICK = BuildOptions(max_side=480, max_features=2000)


@pytest.fixture(scope="module")
def place(rendered_photos, tmp_path_factory) -> Path:
    """Five photos of one rendered place."""
    folder = tmp_path_factory.mktemp("place")
    names = [name for name, number in rendered_photos.truth.place.items() if number == 1]
    for name in names[:5]:
        shutil.copy(rendered_photos.folder / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory) -> tuple[Path, str]:
    """The workspace of an undisturbed build, to be copied, and its fingerprint."""
    workspace = tmp_path_factory.mktemp("undisturbed") / "ws"
    return workspace, build_pairs(place, workspace, QUICK).fingerprint


@pytest.fixture(scope="module")
def undisturbed(whole) -> str:
    return whole[1]


# A program that dies without warning before its n-th file is put in place. Worker processes read it as well.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.pairs.evidence import EVIDENCE
from hashpipe.pairgen.options import BuildOptions

replace, count = Path.replace, 0

def counted(self, target):
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = counted
if __name__ == "__main__":
    summary = build_pairs(Path(sys.argv[1]), Path(sys.argv[2]), BuildOptions(max_side=480, max_features=2000))
    print(json.dumps({"fingerprint": summary.fingerprint, "writes": count}))
"""


def run_program(tmp_path: Path, place: Path, die_at: int) -> subprocess.CompletedProcess:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py", place, tmp_path / "ws", str(die_at)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_killed_at_every_write_in_turn(place, undisturbed, tmp_path):
    """Each run goes on where the one before was killed, one write further."""
    for die_at in range(1, 60):
        done = run_program(tmp_path, place, die_at)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert die_at > 8
    assert json.loads(done.stdout)["fingerprint"] == undisturbed
    assert not [path for path in (tmp_path / "ws" / "pairs").iterdir() if path.suffix == ".old"]


# A program that dies without warning in the middle of one stage, whichever of its processes is at work on it.
IN_STAGE = """
import json, os, signal, sys, threading, time
from pathlib import Path
from hashpipe.pairgen import build
from hashpipe.pairgen.colmap import adapter, geometries
from hashpipe.pairgen.mapping import places, reconstruction_job, surface
from hashpipe.pairgen.matching import parallel_matching, vlad
from hashpipe.pairgen.pairs import labels, tables
from hashpipe.pairgen.photos import listing
from hashpipe.pairgen import results
from hashpipe.pairgen.options import BuildOptions

STAGES = {
    "reading": (listing, "describe", 3, 0),
    "features": (adapter.FeatureDatabase, "add_photo", 3, 0),
    "describing": (vlad, "encode", 3, 0),
    "exchange": (geometries, "_key", 1, 0),
    "matching": (adapter, "match_pairs", 1, 0.03),
    "collecting": (parallel_matching, "write_matches", 2, 0),
    "mapping": (adapter, "map_photos", 1, 0.01),
    "colouring": (reconstruction_job, "load_same", 2, 0),
    "cleaning": (surface, "clean", 1, 0),
    "mining": (labels, "dissimilar_pairs", 1, 0),
    "models": (places.shutil, "copytree", 1, 0),
    "failures": (tables, "write_failures", 1, 0),
    "pairset": (results, "write_pairset", 1, 0.002),
    "report": (build, "write_report", 1, 0.1),
}
parallel_matching._FEW = 1  # so that worker processes match these few photos as well
STARTED = int(os.environ.setdefault("STARTED", str(os.getpid())))
place, name, turn, seconds = STAGES.get(sys.argv[3], (None, "", 0, 0))
count = 0

def die():
    time.sleep(seconds)
    Path(sys.argv[2] + ".died").write_text(sys.argv[3])
    os.kill(STARTED, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

def dying(*arguments, **named):
    global count
    count += 1
    if count == turn:
        (threading.Thread(target=die).start if seconds else die)()
    return whole(*arguments, **named)

if place is not None:
    whole = getattr(place, name)
    setattr(place, name, dying)
if __name__ == "__main__":
    summary = build.build_pairs(Path(sys.argv[1]), Path(sys.argv[2]), BuildOptions(max_side=480, max_features=2000))
    print(json.dumps({"fingerprint": summary.fingerprint}))
"""
STAGES = [line.split('"')[1] for line in IN_STAGE.split("STAGES = {")[1].split("}")[0].strip().splitlines()]


@pytest.mark.slow
def test_killed_in_every_stage_in_turn(place, undisturbed, tmp_path):
    """Each run goes on where the one before was killed, and the last one ends as an undisturbed run."""
    (tmp_path / "program.py").write_text(IN_STAGE)
    assert len(STAGES) > 10
    for stage in (*STAGES, "none"):
        command = [sys.executable, tmp_path / "program.py", place, tmp_path / "ws", stage]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
        if stage != "none":
            assert done.returncode == -signal.SIGKILL, (stage, done.returncode, done.stderr)
            assert (tmp_path / "ws.died").read_text() == stage
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fingerprint"] == undisturbed


@pytest.mark.parametrize(
    "stage",
    [
        "extract_features",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("match_photos", "reconstruct", "write_report")),
    ],
)
def test_a_photo_that_vanishes_between_stages_and_comes_back(place, undisturbed, tmp_path, monkeypatch, stage):
    photos = tmp_path / "photos"
    shutil.copytree(place, photos)
    victim = sorted(photos.iterdir())[2]
    whole = getattr(build, stage)

    def vanishing(*arguments):
        victim.rename(tmp_path / victim.name)
        return whole(*arguments)

    monkeypatch.setattr(build, stage, vanishing)
    summary = build_pairs(photos, tmp_path / "ws", QUICK)
    lost = [entry["photo"] for entry in summary.skipped]
    assert lost == ([victim.name] if stage == "extract_features" else [])  # later it is no longer needed
    monkeypatch.undo()
    (tmp_path / victim.name).rename(victim)
    assert build_pairs(photos, tmp_path / "ws", QUICK).fingerprint == undisturbed


def test_a_full_disk_is_an_error_before_colmap_writes_and_the_same_command_goes_on(
    place, undisturbed, tmp_path, monkeypatch
):
    room = [10**9] + [10**6] * 100  # enough for the features, then no longer
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: SimpleNamespace(free=room.pop(0)))
    with pytest.raises(OSError, match="No space left") as caught:
        build_pairs(place, tmp_path / "ws", QUICK)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert build_pairs(place, tmp_path / "ws", QUICK).fingerprint == undisturbed


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_really_full(place, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        command = [Path(sys.executable).with_name("hashpipe"), "pairs", "build", place, "-w", disk / "ws"]
        options = ["--max-side", "480", "--max-features", "2000"]
        done = subprocess.run([*command, *options], env=environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 2, done.stderr
        assert "no space left on device; free some space, finished work is kept." in done.stderr.splitlines()[-1]
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        assert build_pairs(place, disk / "ws", QUICK).fingerprint == undisturbed
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_two_builds_at_once(place, undisturbed, tmp_path):
    """The second is refused with a sentence while the first goes on."""
    command = [Path(sys.executable).with_name("hashpipe"), "pairs", "build", place, "-w", tmp_path / "ws", "--json"]
    command += ["--max-side", "480", "--max-features", "2000"]
    first = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert first.stderr.readline().startswith("Reading photos")
    second = subprocess.run(command, env=environment(), capture_output=True, text=True)
    out, _ = first.communicate(timeout=300)
    assert second.returncode == 2
    assert "in use by another hashpipe command" in second.stderr
    assert first.returncode == 0
    assert json.loads(out)["fingerprint"] == undisturbed


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title TEXT)")


def cut_short(path: Path) -> None:
    with adapter.FeatureDatabase(path):
        pass
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda path: path.write_bytes(b"no database at all, but long enough to be taken for one" * 50),
            "not a database",
        ),
        (foreign, "a database of another kind"),
        (cut_short, "malformed"),
    ],
)
def test_a_database_that_is_none_is_named_and_left_alone(place, tmp_path, spoil, said):
    path = tmp_path / "ws" / "pairs" / "database.db"
    files.open_workspace(tmp_path / "ws", create=True)
    path.parent.mkdir()
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=said) as caught:
        build_pairs(place, tmp_path / "ws", QUICK)
    assert "delete it and run the same command" in str(caught.value)
    assert path.read_bytes() == before


def test_sound_databases_pass(tmp_path):
    check_database(tmp_path / "none.db")
    with adapter.FeatureDatabase(tmp_path / "new.db"):
        pass
    check_database(tmp_path / "new.db")
    (tmp_path / "empty.db").write_bytes(b"")  # killed before the first write
    check_database(tmp_path / "empty.db")


@pytest.mark.parametrize("cut", [False, True])
def test_damaged_caches_are_made_again(place, whole, tmp_path, cut):
    shutil.copytree(whole[0], tmp_path / "ws")
    folder = tmp_path / "ws" / "pairs"
    (folder / "vlad.npz").write_bytes((folder / "vlad.npz").read_bytes()[:5000])
    points = next(folder.glob("mapping/*/0/points3D.bin"))
    if cut:
        points.write_bytes(points.read_bytes()[:3000])
    else:
        points.unlink()
    evidence = next(folder.glob(f"mapping/*/0/{EVIDENCE}"))
    if cut:
        evidence.write_bytes(evidence.read_bytes()[:2000])
    else:
        evidence.unlink()
    shutil.rmtree(folder / "models")
    (folder / "photos.parquet").write_bytes(b"PAR1")
    assert build_pairs(place, tmp_path / "ws", QUICK).fingerprint == whole[1]
    assert (folder / "models" / "0" / "points3D.bin").exists()
