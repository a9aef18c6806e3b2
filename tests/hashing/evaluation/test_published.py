"""`eval --methods`: published methods are trained on the same pairs, scored beside the model, and kept."""

from __future__ import annotations

import json

import pytest

from hashpipe.cli.main import run
from hashpipe.common.errors import UserError
from hashpipe.hashing.evaluation import EvalOptions, evaluate, published
from hashpipe.hashing.evaluation.tables import ordered_methods
from hashpipe.hashing.training.objectives import OBJECTIVES
from hashpipe.hashing.training.options import TrainOptions

ASKED = EvalOptions(methods=("itdh", "spdh", "joint", "dpsh"), bits=(16,), baselines=("itq",), rounds=100)


@pytest.fixture(scope="module")
def result(workspace):
    return evaluate(ASKED, workspace)


def test_methods_stand_beside_the_model_in_every_protocol(result, workspace):
    for protocol in ("places/known", "places/adapted", "places/unseen"):
        rows = [row for row in result.rows if (row["protocol"], row["metric"]) == (protocol, "map")]
        assert sorted(row["method"] for row in rows) == ["dpsh", "itdh", "itq", "joint"]
        assert ordered_methods(rows)[:3] == ["joint", "itdh", "dpsh"]  # the model first
    assert any(note.startswith("spdh is left out: vlad has no feature maps") for note in result.notes)
    assert any(note.startswith("itdh, spdh, dpsh: trained here with their published options") for note in result.notes)
    assert set(result.meta["trained beside, seconds"]) == {"itdh", "dpsh"}
    text = result.as_text()
    assert text.index("\njoint ") < text.index("\ndpsh ") < text.index("\nitq ")
    page = (workspace / "eval" / "report.html").read_text()
    assert page.count("<td>dpsh</td>") >= 2
    assert "trained beside, seconds dpsh" in page


def test_the_summary_is_about_the_model(result):
    assert result.as_json()["summary"][0].startswith("mAP of joint codes of 16 bits")


def test_what_was_trained_is_not_trained_again(result, workspace, monkeypatch):
    fitted = []
    real = published.fit_heads
    monkeypatch.setattr(published, "fit_heads", lambda *a, **k: fitted.append(a[2].objective) or real(*a, **k))
    again = evaluate(ASKED, workspace)
    assert fitted == []
    assert again.rows == result.rows
    more = EvalOptions(methods=("itdh", "dpsh", "cnnh"), benchmark="places/known", bits=(16,), rounds=100)
    evaluate(more, workspace)
    assert fitted == ["cnnh"]


def test_each_form_learns_from_its_own_photos(result, workspace):
    kept = list((workspace / published.FOLDER).glob("dpsh-*.safetensors"))
    assert len(kept) == 2  # known and adapted share one, places that are not learnt from have another


def test_all_is_every_method_but_the_model(tmp_path):
    found = published.beside(("all",), "dpsh", (16,), TrainOptions(seed=7, pca=99), tmp_path)
    assert found.names == tuple(name for name in OBJECTIVES if name != "dpsh")
    assert (found.shared.seed, found.shared.pca, found.shared.bits) == (7, 99, (16,))


def test_lengths_that_a_head_cannot_make_are_named(result, tmp_path):
    methods = published.beside(("spdh",), "joint", (12, 16), TrainOptions(), tmp_path)
    assert published._options(result, methods, "spdh").bits == (16,)
    assert any(note.startswith("spdh is left out at 12 bits") for note in result.notes)
    with pytest.raises(UserError, match="groups of 8"):
        published._options(result, published.beside(("spdh",), "joint", (12,), TrainOptions(), tmp_path), "spdh")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--methods", "dpsg"], "--methods has 'dpsg', which is no published method; did you mean dpsh"),
        (["--methods", "qqqqqq"], "`hashpipe methods` lists them"),
        (["--methods", "dpsh", "--benchmark", "copies"], "--methods trains on the workspace's pairs"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, workspace, capfd):
    assert run(["eval", "-w", str(workspace), *arguments]) == 2
    said = capfd.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_the_command_prints_json(workspace, capfd):
    asked = ["--methods", "itdh", "--benchmark", "places/known", "--bits", "16", "--baselines", "none", "--json"]
    assert run(["eval", "-w", str(workspace), "--rounds", "100", *asked]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert {row["method"] for row in printed["results"]} == {"joint", "ours", "itdh"}
