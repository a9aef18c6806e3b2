"""Sentences above the tables say what the numbers say; tables fit 80 columns."""

from __future__ import annotations

from typing import Any

import pytest

from hashpipe.hashing.evaluation.conclusions import in_short, sentences, verdicts
from hashpipe.hashing.evaluation.result import EvalResult

QUERIES = 40


def result(values: dict[str, dict[tuple[str, int | None], float]], metrics: tuple[str, ...] = ("map",)) -> EvalResult:
    """An evaluation with the given mAP by protocol and (method, bits); values of queries lie a little around it."""
    made = EvalResult(learnt="joint")
    for protocol, cells in values.items():
        made.protocols.append(
            {
                "protocol": protocol, "fingerprint": "0" * 16, "metrics": list(metrics), "normaliser": "R",
                "queries": QUERIES, "places": 8, "database": 100, "training": 60, "notes": [],
                "clusters": [number % 8 for number in range(QUERIES)],
            }
        )  # fmt: skip
        for (method, bits), value in cells.items():
            head: dict[str, Any] = {"protocol": protocol, "method": method, "bits": bits}
            for metric in metrics:
                row = {**head, "metric": metric, "value": value, "normaliser": "R"}
                bounds = {"tie_low": value - 0.01, "tie_high": value + 0.01, "ci_low": 0.1, "ci_high": 0.9}
                made.rows.append({**row, **bounds})
            noise = [((number * 7) % 5 - 2) * 0.002 for number in range(QUERIES)]
            made.per_query.append({**head, "metric": metrics[0], "values": [value + one for one in noise]})
    return made


KNOWN = {("joint", 16): 0.5, ("joint", 64): 0.95, ("itq", 64): 0.8, ("pca", 64): 0.7, ("float", None): 0.974}
UNSEEN = {("joint", 64): 0.516, ("itq", 64): 0.561, ("pca", 64): 0.618, ("float", None): 0.99}
EVEN = {("joint", 64): 0.7, ("itq", 64): 0.7, ("float", None): 0.9}


def test_won_lost_and_even_are_told_apart():
    found = result({"places/known": KNOWN, "places/unseen": UNSEEN, "places/adapted": EVEN})
    assert sentences(found) == [
        "mAP of joint codes of 64 bits: .950 for new photos of known places, .516 for places not in the training "
        "photos and .700 for photos of places without 3D labels.",
        "Better than every baseline on new photos of known places (+.150, +.150 to +.150; itq .800); worse than the "
        "best one on places not in the training photos (-.102, -.102 to -.102; pca .618); no sure difference from the "
        "best one on photos of places without 3D labels (+.000, +.000 to +.000; itq .700).",
        "The descriptor that codes are made from, 32 bits a dimension, reaches .974, .990 and .900.",
    ]
    assert [one.won for one in verdicts(found)] == [True, False, False]
    assert in_short(found) == (
        "The learnt codes are better than every baseline on new photos of known places, and not measurably on places "
        "not in the training photos and photos of places without 3D labels."
    )


@pytest.mark.parametrize(
    ("cells", "second", "short"),
    [
        ({"cifar10/I": KNOWN}, "Better than every baseline on cifar10/I", "better than every baseline on cifar10/I."),
        ({"cifar10/I": UNSEEN}, "Worse than the best one on cifar10/I", "not measurably better"),
        ({"x": {("joint", 8): 0.3}}, "No baseline was scored beside them.", ""),
    ],
)
def test_one_protocol(cells, second, short):
    said = sentences(result(cells))
    assert said[1].startswith(second)
    assert short in in_short(result(cells))
    assert len(said) == (3 if "cifar10/I" in cells else 2)


def test_without_learnt_codes_there_is_nothing_to_say():
    assert sentences(result({"x": {("itq", 64): 0.5}})) == []
    assert in_short(result({"x": {("itq", 64): 0.5}})) == ""


def test_codes_of_a_file_are_learnt_codes_and_their_own_thresholds_come_first():
    said = sentences(result({"x": {("codes", 8): 0.5, ("codes/recentred", 8): 0.6, ("itq", 8): 0.1}}))
    assert said[0] == "mAP of codes of 8 bits: .500 for x."


@pytest.mark.parametrize("lengths", [(64,), (8, 16, 32, 64, 128, 256, 512, 1024)])
def test_everything_fits_80_columns(lengths):
    methods = ("joint", "joint/recentred", "lsh", "itq", "pca-rr")
    cells: dict[tuple[str, int | None], float] = {(name, bits): 0.5 for name in methods for bits in lengths}
    metrics = ("map@5000", "map", "p@100", "p@1000", "r@1000", "mrr", "ndcg@100", "p@r2", "empty@r2")
    text = result({"cifar10/I": {**cells, ("float", None): 0.9}}, metrics).as_text()
    assert max(map(len, text.splitlines())) <= 80
    for metric in metrics[1:]:
        assert any(metric in line.split() for line in text.splitlines()), metric
    assert text.count("joint/recentred") >= 2
    assert "…" not in text


def test_a_comparison_fits_80_columns_and_says_everything():
    from hashpipe.hashing.evaluation.compare import Comparison

    row = {"bits": 1024, "metric": "map@5000", "run": 1, "base": 0.5, "value": 0.6, "difference": 0.1}
    row |= {"ci_low": 0.02, "ci_high": 0.13, "p_value": 0.03}
    names = [("places/known", "joint"), ("cifar10/I-subset", "joint (learnt) against bcdh")]
    rows = [{**row, "protocol": protocol, "method": method} for protocol, method in names]
    text = Comparison(["a", "b"], rows, ["2 comparisons"]).as_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for part in ("places/known", "cifar10/I-subset", "map@5000", "against bcdh", "0.5000", "0.6000", "+0.1300"):
        assert part in text
