"""The rule of benchmarks/choose_learner.py, by which defaults of the learner are chosen on half of the places."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def rule(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("choose_learner")


def write(path, known, unseen, reported=0.5):
    """Scores of variants over six places of each half: {name: mAP on the choosing half} of two protocols."""
    scores = []
    for form, values in (("known", known), ("unseen", unseen)):
        for name, value in values.items():
            for half, level, first in (("choose", value, 0), ("report", reported, 6)):
                by_place = {str(place): level + 0.01 * (place % 2) for place in range(first, first + 6)}
                scores.append({"form": form, "method": name, "bits": 16, "half": half, "map": by_place})
        scores.append({"form": form, "method": "float", "bits": None, "half": "choose", "map": {"0": 1.0}})
    path.write_text(json.dumps({"descriptor": path.stem, "scores": scores}))
    return path


ITQ = {"itq": 0.80, "itq/recentred": 0.79}


def test_the_better_variant_is_chosen_and_it_alone_is_reported(rule, tmp_path, capsys):
    known = ITQ | {"ours": 0.801, "steps=9": 0.81}
    scores = rule.read([write(tmp_path / "vlad.json", known, known)])
    assert rule.choose(scores) == "steps=9"
    rule.report(scores, "steps=9")
    told = capsys.readouterr().out.split("reporting half")[1]
    assert "steps=9" in told
    assert "0.505" in told
    assert "ours" not in told


def test_a_large_lead_does_not_pay_for_a_loss(rule, tmp_path):
    path = write(tmp_path / "vlad.json", ITQ | {"ours": 0.805, "odd": 0.99}, ITQ | {"ours": 0.795, "odd": 0.76})
    assert rule.choose(rule.read([path])) == "ours"


def test_a_lead_within_its_error_leaves_the_default(rule, tmp_path):
    path = write(tmp_path / "vlad.json", ITQ | {"ours": 0.80, "luck": 0.80}, ITQ | {"ours": 0.80, "luck": 0.80})
    kept = json.loads(path.read_text())
    for one in kept["scores"]:
        if one["method"] == "luck" and one["half"] == "choose":
            one["map"]["0"] += 0.02
            one["map"]["1"] -= 0.01  # places do not agree
    path.write_text(json.dumps(kept))
    assert rule.choose(rule.read([path])) == "ours"


def test_of_places_never_seen_re_centred_itq_is_the_rival(rule, tmp_path):
    scores = rule.read([write(tmp_path / "vlad.json", ITQ | {"ours": 0.8}, ITQ | {"ours": 0.8})])
    weights = rule.draws(scores, "choose")[:1]
    leads = [rule.lead(scores, cell, "ours", "choose", weights)[0] for cell in rule.cells(scores)]
    assert leads == pytest.approx([0.0, 0.01])


def test_two_files_of_one_cell_are_refused(rule, tmp_path):
    path = write(tmp_path / "vlad.json", ITQ | {"ours": 0.8}, ITQ | {"ours": 0.8})
    with pytest.raises(SystemExit, match="in another file too"):
        rule.read([path, path])
