"""Photos of a PairSet whose files hold something else by now: what pairs say does not belong to these files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hashpipe.common.known_files import FILE, KnownFiles
from hashpipe.pairgen.pairs.pairset import PairSet


def changed_rows(workspace: Path, pairset: PairSet, rows: np.ndarray) -> np.ndarray:
    """Which of the photos with ids `rows` have another content than when the pairs were made, int64 ids.

    Told by size and time of change, and by SHA-256 where these differ. A file that is gone has not changed; of one that
    nobody hashed in this workspace it is found out when it is read.
    """
    paths, contents = pairset.photo_paths(), pairset.photos["sha256"].to_pylist()
    known = KnownFiles(Path(workspace) / FILE)
    states = known.states([paths[row] for row in rows], [contents[row] for row in rows], guess=True)
    return np.asarray(rows, np.int64)[np.array([state == "changed" for state in states], bool)]


def changed_note(pairset: PairSet, rows: np.ndarray, what: str) -> str:
    """One sentence that names photos that have changed."""
    names = pairset.photos["path"].to_pylist()
    listed = ", ".join(names[row] for row in rows[:3]) + (", ..." if len(rows) > 3 else "")
    many = "photo has" if len(rows) == 1 else "photos have"
    return f"{len(rows)} {many} changed since the pairs were made ({listed}); {what}"
