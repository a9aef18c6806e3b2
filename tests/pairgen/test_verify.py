"""The door to verification: hard negatives that are safe, of imported pairs whose photos were never looked at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hashpipe.pairgen.database import matched_pairs
from hashpipe.pairgen.exchange import import_pairs
from hashpipe.pairgen.exchange_options import ImportOptions
from hashpipe.pairgen.pairset import PairSet, read_pairset
from hashpipe.pairgen.verify import safe_negatives, verify_pairs


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
    import pyarrow as pa

    related = imported.relations.schema.empty_table()
    row = pa.table({"place_a": [0], "place_b": [1], "relation": ["may_be_same"], "evidence": [""]}, related.schema)
    told = PairSet(imported.folder, imported.meta, imported.photos, imported.pairs, row)
    assert safe_negatives(told, np.array([(0, 2), (3, 1), (0, 4)]), workers=1)[0].tolist() == [[0, 4]]
    for nothing in safe_negatives(imported, np.zeros((0, 2), int), workers=1):
        assert nothing.shape == (0, 2)
