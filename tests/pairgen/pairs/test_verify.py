"""The door to verification: hard negatives that are safe, of imported pairs whose photos were never looked at."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from frame_marks import burn
from PIL import Image

from hashpipe.common import files
from hashpipe.common.errors import UserError
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import check_database, matched_pairs
from hashpipe.pairgen.formats.import_pairs import import_pairs
from hashpipe.pairgen.formats.options import ImportOptions
from hashpipe.pairgen.matching.extract import extract_features
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs import verify
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset
from hashpipe.pairgen.pairs.verify import safe_negatives, verify_files, verify_pairs
from hashpipe.pairgen.photos.metadata import describe


def ground(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((256, 192), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> PairSet:
    """Places 0..3 of two crops each; those of 0 and 3 show one picture, which the table does not say."""
    folder = tmp_path_factory.mktemp("imported")
    lines = ["path_a,path_b,label,place_a,place_b"]
    for place, picture in enumerate((1, 2, 3, 1)):
        for view in range(2):
            shift = 8 * view + 2 * place
            ground(picture).crop((shift, 0, shift + 200, 180)).save(folder / f"p{place}v{view}.png")
        lines.append(f"p{place}v0.png,p{place}v1.png,1,{place},{place}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    import_pairs(folder / "pairs.csv", folder / "ws", ImportOptions(workers=1))
    return read_pairset(folder / "ws" / "pairs")


def test_imported_photos_are_verified_on_demand(imported: PairSet) -> None:
    inliers = verify_pairs(imported, np.array([(0, 1), (0, 2), (6, 0), (0, 0)]), workers=1)
    assert inliers[0] >= 30
    assert inliers[1] < 15
    assert inliers[2] >= 30
    assert inliers[3] == -1


def test_safe_negatives_are_verified_one_per_place_and_never_unknown(imported: PairSet) -> None:
    candidates = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (0, 6), (2, 4), (1, 7)])
    pairs, refused = safe_negatives(imported, candidates, workers=1)
    assert pairs.tolist() == [[0, 2], [0, 4], [2, 4]]  # not its own place, not a second one of a place
    assert refused.tolist() == [[0, 6], [1, 7]]  # the same picture: places 0 and 3 are not told apart
    stored = matched_pairs(imported.folder / "database.db")
    again, _ = safe_negatives(imported, candidates, workers=1)
    assert again.tolist() == pairs.tolist()
    assert matched_pairs(imported.folder / "database.db") == stored


def test_nothing_between_related_places(imported: PairSet) -> None:
    related = imported.relations.schema.empty_table()
    row = pa.table({"place_a": [0], "place_b": [1], "relation": ["may_be_same"], "evidence": [""]}, related.schema)
    told = PairSet(imported.folder, imported.meta, imported.photos, imported.pairs, row)
    assert safe_negatives(told, np.array([(0, 2), (3, 1), (0, 4)]), workers=1)[0].tolist() == [[0, 4]]
    for nothing in safe_negatives(imported, np.zeros((0, 2), int), workers=1):
        assert nothing.shape == (0, 2)


def test_places_of_a_build_with_few_verified_pairs_give_no_safe_negatives(imported: PairSet) -> None:
    """They may be a second model of another place; what was imported is as the source says."""
    meta = {name: value for name, value in imported.meta.items() if name != "imported"}
    known = np.full(imported.pairs.num_rows, 40)
    for few, expected in ((10**6, []), (1, [[0, 2], [0, 4]])):
        pairs = imported.pairs.set_column(
            imported.pairs.column_names.index("inliers"),
            "inliers",
            pa.array(known, imported.pairs.schema.field("inliers").type),
        )
        built = PairSet(imported.folder, meta, imported.photos, pairs, imported.relations)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verify, "FEW_VERIFIED", few)
            assert safe_negatives(built, np.array([(0, 2), (0, 4)]), workers=1)[0].tolist() == expected


def copied(imported: PairSet, tmp_path: Path) -> PairSet:
    """The pairs of a workspace of their own, no photo of which was looked at."""
    shutil.copytree(imported.folder.parent, tmp_path / "ws")
    for path in (tmp_path / "ws" / "pairs").glob("database.db*"):
        path.unlink()
    return read_pairset(tmp_path / "ws" / "pairs")


def test_beside_another_writer_known_pairs_are_told_and_new_ones_refused(
    imported: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairset = copied(imported, tmp_path)
    known = np.array([(0, 1), (2, 3)])
    inliers = verify_pairs(pairset, known, workers=1)
    monkeypatch.setattr(verify, "WAIT_SECONDS", 0.3)
    database = pairset.folder / "database.db"
    with files.locked(pairset.folder), contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN IMMEDIATE")  # a build in the middle of writing
        writer.execute("UPDATE images SET name = name")
        assert verify_pairs(pairset, known, workers=1).tolist() == inliers.tolist()
        with pytest.raises(UserError, match="in use by another hashpipe command"):
            verify_pairs(pairset, np.array([(0, 3)]), workers=1)
        writer.rollback()
    assert verify_pairs(pairset, np.array([(0, 3)]), workers=1)[0] >= 0


def test_a_build_waits_for_the_lock_on_the_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hashpipe.pairgen import build

    (tmp_path / "photos").mkdir()
    ground(1).save(tmp_path / "photos" / "a.png")
    files.open_workspace(tmp_path / "ws", create=True)
    monkeypatch.setattr(build, "WAIT_SECONDS", 0.3)
    with files.locked(tmp_path / "ws" / "pairs"), pytest.raises(UserError, match="in use by another"):
        build_pairs(tmp_path / "photos", tmp_path / "ws", BuildOptions())


CALLER = """
import sys
import numpy as np
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.pairs.verify import verify_pairs
pairs = [(a, b) for a in range(8) for b in range(a)][int(sys.argv[2])::3]
print(verify_pairs(read_pairset(sys.argv[1]), np.array(pairs), workers=1).tolist())
"""


@pytest.mark.slow
def test_three_at_once_find_what_one_alone_finds(imported: PairSet, tmp_path: Path) -> None:
    pairset = copied(imported, tmp_path)
    shutil.copytree(pairset.folder.parent, tmp_path / "alone")
    command = [sys.executable, "-c", CALLER, pairset.folder]
    callers = [subprocess.Popen([*command, str(turn)], stdout=subprocess.PIPE, text=True) for turn in range(3)]
    answers = [caller.communicate(timeout=120)[0] for caller in callers]
    assert [caller.returncode for caller in callers] == [0] * 3
    alone = read_pairset(tmp_path / "alone" / "pairs")
    everything = [(a, b) for a in range(8) for b in range(a)]
    for turn in range(3):
        assert answers[turn].strip() == str(verify_pairs(alone, np.array(everything[turn::3]), workers=1).tolist())
    check_database(pairset.folder / "database.db")
    assert matched_pairs(pairset.folder / "database.db") == matched_pairs(alone.folder / "database.db")


def test_what_an_older_version_cached_of_files_is_verified_again(tmp_path: Path) -> None:
    """It had joined two photos by a badge; the copy of a photo and its crop remain."""
    for name, picture in {"a": ground(1), "b": ground(2), "c": ground(1).crop((6, 4, 250, 190))}.items():
        (burn(picture, "badge", 0) if name != "c" else picture).save(tmp_path / f"{name}.png")
    first, *others = (tmp_path / f"{name}.png" for name in "abc")
    cache = tmp_path / "cache"
    cache.mkdir()
    photos = [describe(Path(), str(path)) for path in (first, *others)]
    extract_features(Path(), photos, cache, BuildOptions(workers=1))
    pairs = [(photos[0].sha256, photo.sha256) for photo in photos[1:]]
    adapter.match_pairs(cache / "database.db", pairs, 0, 8)
    assert min(inliers for _, inliers in matched_pairs(cache / "database.db").values()) >= 30
    found = verify_files(first, [*others, first], cache, workers=1)
    assert found[0] < 13
    assert found[1] >= 30
    assert found[2] > found[1]
    assert verify_files(first, [*others, first], cache, workers=1).tolist() == found.tolist()
