"""`hashpipe pairs import`, `export`, `show --picture` and `check` on the command line."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.pairs.verify import verify_pairs


@pytest.fixture
def listed(tmp_path):
    for row in range(6):
        pixels = np.random.default_rng(row).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photo {row}.png")
    lines = [f"photo {a}.png\tphoto {b}.png\n" for a, b in ((0, 1), (2, 3), (4, 5))]
    (tmp_path / "pairs.txt").write_text("".join(lines))
    return tmp_path / "pairs.txt"


def test_import_show_check_and_export(hashpipe, listed, tmp_path):
    done = hashpipe("pairs", "import", listed, "-w", tmp_path / "ws", "--places-differ", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["photos"], told["places"], told["pairs"]["imported"]) == (6, 3, 3)
    shown = json.loads(hashpipe("pairs", "show", 0, 1, "-w", tmp_path / "ws", "--json").stdout)
    assert shown["picture"] == str(tmp_path / "ws" / "shown" / "0-1.jpg")
    with Image.open(shown["picture"]) as picture:
        assert picture.width > picture.height
    done = hashpipe("pairs", "show", 0, 2, "-w", tmp_path / "ws", "--picture", "here.png")
    assert "picture: here.png" in done.stdout
    assert "matching      never matched" in done.stdout
    verify_pairs(read_pairset(tmp_path / "ws" / "pairs"), np.array([(0, 2)]), workers=1)
    assert "matching      0 matches, none of them" in hashpipe("pairs", "show", 0, 2, "-w", tmp_path / "ws").stdout
    assert (tmp_path / "here.png").is_file()
    assert "is whole" in hashpipe("pairs", "check", "--photos", "-w", tmp_path / "ws").stdout
    done = hashpipe("pairs", "export", "out", "--to", "hloc", "-w", tmp_path / "ws")
    assert "blanks in their names written as %20" in done.stdout
    assert (tmp_path / "out" / "pairs.txt").read_text().split()[:2] == ["photo%200.png", "photo%201.png"]
    done = hashpipe("pairs", "build", listed.parent, "-w", tmp_path / "ws")
    assert done.returncode == 2
    assert "holds pairs imported from" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "none.pkl"), "none.pkl does not exist"),
        (("import", "evil.pkl"), "asks for posix.mkdir"),
        (("import", "pairs.txt", "--from", "colmap"), "is no folder, which --from colmap does not read"),
        (("import", "pairs.txt", "--photos", "nowhere"), "There is no folder"),
        (("import", "pairs.txt", "--query-share", "0.9"), "--query-share is 0.9"),
        (("export", "out.csv"), "not a hashpipe workspace"),
    ],
)
def test_refused_with_a_sentence(refused, listed, tmp_path, arguments, said):
    class Evil:
        def __reduce__(self):
            import os

            return os.mkdir, (str(tmp_path / "evil"),)

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    assert said in refused("pairs", *arguments, "-w", tmp_path / "ws")
    assert not (tmp_path / "evil").exists()


def test_check_tells_every_fault(hashpipe, listed, tmp_path):
    hashpipe("pairs", "import", listed, "-w", tmp_path / "ws")
    for row in (1, 2):
        (tmp_path / f"photo {row}.png").unlink()
    done = hashpipe("pairs", "check", "--photos", "-w", tmp_path / "ws")
    assert done.returncode == 2
    assert "2 photos are no longer where they were" in done.stderr
    assert "note: 2 photos" in hashpipe("pairs", "check", "-w", tmp_path / "ws").stdout
