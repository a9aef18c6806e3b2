"""VLAD without COLMAP: codes of a network, and features that are stored, must load no pycolmap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.summary import BuildSummary

READS = """
import sys
from hashpipe.pairgen.matching import vlad
with vlad.stored_features({folder!r}) as stored:
    descriptors = [stored.get(sha) for sha in {shas!r}]
assert sum(map(len, descriptors)) > 0
vlad.encode(descriptors[0], vlad.learn_codebook(descriptors))
assert "pycolmap" not in sys.modules
"""


def test_stored_features_are_read_without_pycolmap(built: tuple[Path, BuildSummary]) -> None:
    photos = read_pairset(built[0] / "pairs").photos.to_pylist()
    shas = [row["sha256"] for row in photos if row["status"] == "ok"]
    program = READS.format(folder=str(built[0] / "pairs"), shas=shas)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
