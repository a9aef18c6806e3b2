"""Calibration: rates counted against slow loops, the right photos held out, a radius that keeps its promise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.common.hamming import hamming
from hashpipe.hashing.calibration.calibrate import calibrate, codes_by_photo, query_groups
from hashpipe.hashing.calibration.calibration import read_calibration
from hashpipe.hashing.calibration.error_rates import Comparisons, compare, continued, rates, suggest
from hashpipe.hashing.calibration.options import CalibrateOptions
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, PairSet, write_pairset

BITS = 32


def write_pairs(folder: Path, place: list[int], query: list[bool], split: list[str], pairs: list[tuple]) -> PairSet:
    """Photos of the given places; pairs (a, b, kind)."""
    n = len(place)
    told = {
        "photo": range(n),
        "path": [f"{row}.jpg" for row in range(n)],
        "root": ["photos"] * n,
        "sha256": [f"{row:064x}" for row in range(n)],
        "taken_at": [None] * n,
        "lat": [None] * n,
        "lon": [None] * n,
        "status": ["ok"] * n,
        "place": place,
        "split": split,
        "query": query,
    }
    photos = pa.table(
        {field.name: pa.array(list(told.get(field.name, [0] * n)), field.type) for field in PHOTOS_SCHEMA}
    )
    rows = {
        "a": [pair[0] for pair in pairs],
        "b": [pair[1] for pair in pairs],
        "kind": [pair[2] for pair in pairs],
        "label": [1 if pair[2] == "covisible" else -1 for pair in pairs],
        "near_duplicate": [False] * len(pairs),
    }
    table = pa.table(
        {field.name: pa.array(rows.get(field.name, [0] * len(pairs)), field.type) for field in PAIRS_SCHEMA}
    )
    return write_pairset(folder, {"parameters": {"seed": 0}}, photos, table, RELATIONS_SCHEMA.empty_table())


def collection(places: int = 12, each: int = 8, lone: int = 20) -> tuple[list, list, list, list]:
    """Places of photos that are all similar, all other places judged different but 0 and 1; two queries per place."""
    place = [row // each for row in range(places * each)] + [-1] * lone
    query = [row % each < 2 for row in range(places * each)] + [False] * lone
    split = ["test" if one >= places // 2 or one < 0 else "train" for one in place]
    pairs = []
    for a in range(places * each):
        pairs += [(a, b, "covisible") for b in range(a + 1, len(place)) if place[a] == place[b]]
    for first in range(places):
        for second in range(first + 1, places):
            if (first, second) != (0, 1):
                kind = "hard_negative" if (first + second) % 3 == 0 else "negative"
                pairs.append((first * each + 1, second * each + 3, kind))
    if lone > 4:
        pairs.append((5, places * each + 4, "negative"))
    return place, query, split, sorted(pairs)


def codes_of(place: list[int], noise: float = 0.08, seed: int = 0) -> CodeSet:
    rng = np.random.default_rng(seed)
    n = len(place)
    centres = rng.random((max(place) + 1, BITS)) < 0.5
    flags = np.where(np.array(place)[:, None] >= 0, centres[place], rng.random((n, BITS)) < 0.5)
    flags ^= rng.random((n, BITS)) < noise
    return CodeSet(
        CodeSpace("model", BITS, np.zeros(BITS, np.float32)),
        np.arange(n, dtype=np.int32),
        tuple(f"{row}.jpg" for row in range(n)),
        tuple(f"{row:064x}" for row in range(n)),
        np.packbits(flags, axis=1, bitorder="little"),
        np.ones(n, np.float32),
        "photos",
    )


@pytest.fixture
def workspace(tmp_path) -> Path:
    made = open_workspace(tmp_path / "ws", create=True)
    place, *rest = collection()
    write_pairs(made / "pairs", place, *rest)
    write_codes(made / "codes.parquet", codes_of(place))
    return made


def test_comparisons_against_a_slow_count(tmp_path):
    place, query, split, pairs = collection(places=5, each=4, lone=6)
    pairset = write_pairs(tmp_path, place, query, split, pairs)
    codes, known = codes_by_photo(pairset, codes_of(place))
    known[7] = False
    queries, database = np.array([1, 5, 8]), np.flatnonzero(~np.array(query))
    found = compare(pairset, codes, known, BITS, queries, database)
    apart = {frozenset((place[a], place[b])) for a, b, kind in pairs if kind != "covisible"}
    named = {frozenset((a, b)): kind for a, b, kind in pairs}
    for row, q in enumerate(queries.tolist()):
        counts = np.zeros((3, BITS + 1), int)
        units = set()
        for d in database.tolist():
            if not known[d]:
                continue
            distance = int(hamming(codes[q], codes[[d]])[0])
            kind = named.get(frozenset((q, d)))
            judged = place[d] >= 0 and frozenset((place[q], place[d])) in apart
            if judged or kind in ("negative", "hard_negative"):
                counts[0, distance] += 1
                units.add(place[d] if place[d] >= 0 else f"lone {d}")
            counts[1, distance] += kind == "covisible"
            counts[2, distance] += kind == "hard_negative"
        assert found.false[row].tolist() == counts[0].tolist()
        assert found.similar[row].tolist() == counts[1].tolist()
        assert found.look_alikes[row].tolist() == counts[2].tolist()
        assert found.units[row] == len(units)
    assert found.place.tolist() == [0, 1, 2]


def test_places_that_may_be_one_are_not_compared(tmp_path):
    place, query, split, pairs = collection(places=3, each=4, lone=0)
    pairset = write_pairs(tmp_path, place, query, split, pairs)
    codes, known = codes_by_photo(pairset, codes_of(place))
    found = compare(pairset, codes, known, BITS, np.array([0]), np.arange(len(place)))
    assert found.false.sum() == 4  # of place 2 alone


def hand_made(false: np.ndarray, similar: np.ndarray, place: list[int], units: int = 1000) -> Comparisons:
    zeros = np.zeros_like(false)
    return Comparisons(np.array(place), false, similar, zeros, np.full(len(place), units))


def test_rates_by_hand():
    false = np.array([[0, 1, 3, 6], [1, 1, 2, 6]])
    similar = np.array([[2, 2, 0, 0], [0, 0, 0, 0]])
    found = rates(hand_made(false, similar, [0, 1]))
    np.testing.assert_allclose(found.false, np.array([1, 3, 8, 20]) / 20)
    np.testing.assert_allclose(found.recall, [0.5, 1, 1, 1])  # the second query has nothing to find
    assert (found.false_low <= found.false).all()
    assert (found.false <= found.false_high).all()
    assert np.isnan(found.look_alikes).all()
    assert np.isnan(rates(hand_made(false, similar * 0, [0, 1])).recall).all()


def test_no_event_proves_little_and_few_places_widen_the_interval():
    quiet = np.array([[0, 0, 50]] * 6)
    similar = np.ones((6, 3), int)
    few = rates(hand_made(quiet, similar, [0, 0, 1, 1, 2, 2], units=50))
    assert few.false[0] == 0
    assert few.false_high[0] == pytest.approx(1 - 0.025 ** (1 / 300))  # the exact bound of 300 trials without event
    uneven = np.array([[20, 0, 30]] + [[0, 0, 50]] * 5)
    wide = rates(hand_made(uneven, similar, [0, 1, 2, 3, 4, 5], units=10_000))
    counts = np.array([[4, 0, 46], [3, 0, 47], [3, 0, 47], [3, 0, 47], [4, 0, 46], [3, 0, 47]])
    even = rates(hand_made(counts, similar, [0, 1, 2, 3, 4, 5], units=10_000))
    assert wide.false[0] == even.false[0]
    assert wide.false_high[0] > 2 * even.false_high[0]


def test_rates_too_rare_to_see_are_continued_from_above():
    truth = np.exp(-0.5 * ((np.arange(30) - 30) / 5.0) ** 2)  # bends down, as the tail of many bits
    observed = np.where(truth * 2000 >= 1, truth, 0.0)
    found = continued(observed, 2000)
    seen = truth * 2000 >= 10
    np.testing.assert_array_equal(found[seen], truth[seen])
    assert (found[~seen] >= truth[~seen]).all()
    assert (np.diff(found) > 0).all()
    assert (continued(np.array([0.0, 0.001, 0.002]), 10) == 1).all()
    assert (continued(np.array([0.2, 0.4, 1.0]), 1000) == [0.2, 0.4, 1.0]).all()


def test_the_radius_keeps_its_promise_on_fresh_comparisons():
    """Places with distances of their own: a radius from 40 of them, its rate on the other 40."""
    ratios = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        nearness = rng.beta(20, 20, 80) * 0.3 + 0.35  # share of bits that differ from other places
        distances = rng.binomial(64, nearness[:, None], (80, 400))
        false = np.stack([np.bincount(row, minlength=65) for row in distances])
        halves = [hand_made(part, np.ones_like(part), list(range(40)), units=400) for part in (false[:40], false[40:])]
        radius, _ = suggest(rates(halves[0]), 0.001)
        ratios.append(rates(halves[1]).false[radius] / 0.001)
    assert 0.1 < np.mean(ratios) < 1.5


def test_suggestion():
    found = rates(hand_made(np.array([[10, 90, 900]] * 4), np.ones((4, 3), int), [0, 1, 2, 3]))
    assert suggest(found, 0.1) == (1, False)
    assert suggest(found, 0.12) == (1, True)
    assert suggest(found, 1.0) == (2, True)
    assert suggest(found, 1e-6) == (0, False)


def test_held_out_photos_come_first(tmp_path):
    place, query, split, pairs = collection()
    groups = query_groups(write_pairs(tmp_path, place, query, split, pairs))
    assert [len(queries) for _, queries, _ in groups] == [12, 24, 96]
    for _, queries, database in groups[:2]:
        assert not set(queries) & set(database)
        assert all(query[row] for row in queries)
    assert all(split[row] == "test" for row in groups[0][1])


def test_the_command_writes_what_search_reads(workspace):
    result = calibrate(workspace, CalibrateOptions(false_match_rate=0.01))
    one = result.calibration
    assert one.measured_on["photos"] == "held-out photos"  # 12 of test places are too few
    assert one.measured_on["queries"] == 24
    assert one.photos == 116
    assert one.similar_per_query == 6
    assert one.false_match_rate(one.radius) <= 0.01
    assert one.false_match_rate(one.radius + 1) > 0.01
    assert one.false_matches_per_query(one.radius) == pytest.approx(116 * one.false_match_rate(one.radius))
    assert one.recall[one.radius] > 0.8
    space = codes_of(collection()[0]).space
    assert read_calibration(workspace, space) == one
    assert read_calibration(workspace, replace(space, model="another")) is None
    assert one.false_match_rate(-3) == one.expected[0]
    assert one.false_match_rate(999) == one.expected[-1]
    with Image.open(result.plot) as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
    said = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert said["radius"] == one.radius
    assert f"Suggested radius {one.radius}" in result.as_text()
    assert next(line for line in result.as_text().splitlines() if line.endswith("<")).split()[0] == str(one.radius)


def test_the_same_twice_and_a_smaller_rate_is_a_smaller_radius(workspace):
    first = calibrate(workspace, CalibrateOptions(false_match_rate=0.05)).calibration
    assert calibrate(workspace, CalibrateOptions(false_match_rate=0.05)).calibration == first
    assert calibrate(workspace, CalibrateOptions(false_match_rate=0.001)).calibration.radius < first.radius


def test_little_data_is_said(workspace):
    for wanted, words in (
        (0.005, "Too few comparisons to confirm"),
        (1e-7, "Even at radius 0 the expected false-match rate is above"),
    ):
        few = calibrate(workspace, CalibrateOptions(false_match_rate=wanted)).calibration
        assert not few.sure
        assert any(words in note for note in few.notes)
    codeset = codes_of(collection()[0])
    write_codes(workspace / "some.parquet", codeset.rows([row for row in range(116) if row % 8 != 3]))
    part = calibrate(workspace, CalibrateOptions(codes=workspace / "some.parquet")).calibration
    assert any("have no code" in note for note in part.notes)


def test_a_model_that_knows_other_pairs_is_said(workspace):
    (workspace / "model").mkdir()
    (workspace / "model" / "config.json").write_text('{"pairset": "fedcba9876543210"}')
    assert any(
        "another version of the pairs" in note for note in calibrate(workspace, CalibrateOptions()).calibration.notes
    )


def test_what_cannot_be_calibrated(workspace, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        calibrate(workspace, CalibrateOptions(codes=tmp_path / "none.parquet"))
    codeset = codes_of(collection()[0])
    write_codes(tmp_path / "other.parquet", replace(codeset, sha256=tuple(f"{row + 5000:064x}" for row in range(116))))
    with pytest.raises(UserError, match="holds no photo of"):
        calibrate(workspace, CalibrateOptions(codes=tmp_path / "other.parquet"))
    alone = open_workspace(tmp_path / "alone", create=True)
    write_pairs(alone / "pairs", [0] * 6, [False] * 6, ["train"] * 6, [(0, 1, "covisible")])
    with pytest.raises(UserError, match="no coded photos of different places"):
        calibrate(alone, CalibrateOptions(codes=workspace / "codes.parquet"))


@pytest.mark.parametrize("text", ["[]", '{"calibration_version": 1}', "not json"])
def test_a_damaged_calibration_is_named(tmp_path, text):
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(UserError, match=r"calibration.json is .*hashpipe|calibration.json is damaged"):
        read_calibration(tmp_path, codes_of([0, 1]).space)


def test_no_calibration_or_one_of_a_later_version_is_none(tmp_path):
    space = codes_of([0, 1]).space
    assert read_calibration(tmp_path, space) is None
    (tmp_path / "calibration.json").write_text('{"calibration_version": 99}')
    assert read_calibration(tmp_path, space) is None


def test_a_plot_that_cannot_be_drawn_costs_no_calibration(workspace, no_drawing):
    (workspace / "calibration.png").write_bytes(b"of an older calibration")
    result = calibrate(workspace, CalibrateOptions(false_match_rate=0.01))
    assert read_calibration(workspace, codes_of(collection()[0]).space) == result.calibration
    assert result.plot is None
    assert result.as_json()["plot"] is None
    assert "the plot is" not in result.as_text()
    assert not (workspace / "calibration.png").exists()
    assert len(no_drawing) == 1
    assert no_drawing[0].startswith("The plot of the calibration could not be made")
