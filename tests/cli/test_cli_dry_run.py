"""`hashpipe pairs build --dry-run` on the command line."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image


def test_dry_run_says_what_a_build_takes_and_writes_nothing(hashpipe, tmp_path):
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        pixels = random.integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).resize((320, 240), 0).save(tmp_path / "photos" / f"{number}.png")
    done = hashpipe("pairs", "build", "photos", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert (got["dry_run"], got["photos"], got["distinct"], got["pairs"]) == (True, 3, 3, 3)
    assert got["total_seconds"] > 0
    assert got["disk_bytes"] > 100_000
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
