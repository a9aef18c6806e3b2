"""`hashpipe demo`: refusals, and (slow) the whole chain as a newcomer runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest


def test_a_folder_with_other_photos_is_refused(refused, tmp_path: Path) -> None:
    (tmp_path / "mine" / "photos").mkdir(parents=True)
    (tmp_path / "mine" / "photos" / "precious.jpg").write_bytes(b"x")
    assert "-o" in refused("demo", "-o", tmp_path / "mine")


def test_the_demo_of_another_seed_is_refused(refused, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "truth.json").write_text(json.dumps({"seed": 5}))
    assert "--seed 5" in refused("demo", "-o", tmp_path, "--seed", 6)


def test_a_file_in_the_way_is_refused(refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "not a folder" in refused("demo", "-o", tmp_path / "file")


@pytest.mark.slow
def test_the_whole_chain(hashpipe, tmp_path: Path) -> None:
    done = hashpipe("demo", "-o", tmp_path / "demo", timeout=1500)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    said = re.search(
        r"(\d+) of 8 places found, (\d+) of 96 photos in 3D, (\d+) of \d+ similar.*, (\d+) of \d+ dis", done.stdout
    )
    assert said, done.stdout
    places, registered, *wrong = map(int, said.groups())
    assert places == 8
    assert registered >= 92
    assert wrong == [0, 0]
    assert re.search(r"^The learnt codes are (not measurably )?better than ", done.stdout, re.M)
    assert re.search(r"^\$ hashpipe search .*\n0  .*/photos/", done.stdout, re.M)
    assert done.stdout.splitlines()[-1].startswith("next: hashpipe pairs build PHOTOS")
    assert (done.stdout + done.stderr).count("truncated") == 1  # the broken photo is mentioned once
    for report in ("pairs/report.html", "eval/report.html", "search.html"):
        assert (tmp_path / "demo" / "workspace" / report).stat().st_size > 10_000
    # again: nothing is repeated, the same result
    again = hashpipe("demo", "-o", tmp_path / "demo", timeout=1500)
    assert again.returncode == 0, again.stderr
    assert re.findall(r"Fingerprint \w+", again.stdout) == re.findall(r"Fingerprint \w+", done.stdout)
