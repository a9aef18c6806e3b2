"""What scored methods are called, and that readers of 0.1 find the learnt code where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hashpipe.hashing.evaluation.compare import compare_runs
from hashpipe.hashing.evaluation.method_names import is_learnt, learnt_name
from hashpipe.hashing.evaluation.result import EvalResult, read_result


def result(method: str, learnt: str, value: float = 0.5) -> EvalResult:
    rows = [
        {"protocol": "copies", "method": name, "bits": 8, "metric": "map", "value": score}
        for name, score in ((method, value), ("itq", 0.4))
    ]
    protocol = {"protocol": "copies", "fingerprint": "f", "metrics": ["map"], "clusters": None, "notes": []}
    queries = [{**row, "values": [row["value"], 0.1, 0.9]} for row in rows]
    return EvalResult(rows, [protocol], [], [], queries, learnt=learnt)


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_learnt_code_is_called_by_its_objective():
    assert learnt_name({"objective": "dsah"}) == "dsah"
    assert learnt_name({"objective": "itq"}) == "itq (learnt)"  # it stands beside the baseline of that name
    learnt = ("joint", "codes", "ours", "itq (learnt)")
    assert [name for name in (*learnt, "itq", "itq/recentred", "float", "phash/recentred") if is_learnt(name)] == [
        *learnt
    ]


@pytest.mark.parametrize("content", ["everything", "as_json"])
def test_json_holds_the_rows_of_the_learnt_code_under_the_name_of_0_1_too(content):
    said = getattr(result("joint", "joint"), content)()
    by_name = {row["method"]: row for row in said["results"]}
    assert list(by_name) == ["joint", "itq", "ours"]
    assert by_name["ours"] == {**by_name["joint"], "method": "ours", "alias_of": "joint"}
    assert said["ours"] == "joint"


def test_codes_of_a_file_have_no_other_name():
    said = result("codes", "").everything()
    assert [row["method"] for row in said["results"]] == ["codes", "itq"]
    assert "ours" not in said


def test_what_is_read_again_has_every_row_once(tmp_path):
    made = result("joint", "joint")
    found = read_result(write(tmp_path / "eval.json", made.everything()))
    assert (found.rows, found.learnt, found.meta) == (made.rows, "joint", {})


def test_an_evaluation_of_0_1_compares_with_one_of_today(tmp_path):
    old = result("ours", "").everything()
    files = [write(tmp_path / "old.json", old), write(tmp_path / "new.json", result("dsah", "dsah", 0.7).everything())]
    rows = compare_runs(files).rows
    assert [(row["method"], row["difference"]) for row in rows] == [
        ("dsah against ours", pytest.approx(0.2 / 3)),
        ("itq", pytest.approx(0)),
    ]
    assert [row["method"] for row in compare_runs(files[::-1]).rows] == ["ours against dsah", "itq"]
