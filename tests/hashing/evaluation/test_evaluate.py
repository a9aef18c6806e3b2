"""evaluate() end to end on a small workspace: rows, files, protocols, refusals."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks import copies
from hashpipe.hashing.data.images import from_paths
from hashpipe.hashing.evaluation import EvalOptions, evaluate
from hashpipe.hashing.evaluation.result import read_result

ROW = {
    "protocol", "method", "bits", "metric", "value", "tie_low", "tie_high", "ci_low", "ci_high", "n_queries",
    "normaliser", "seed",
}  # fmt: skip


@pytest.fixture(scope="module")
def result(workspace):
    return evaluate(EvalOptions(rounds=100), workspace)


def test_rows_are_complete_and_in_bounds(result):
    assert {row["protocol"] for row in result.rows} == {"places/known", "places/adapted", "places/unseen"}
    assert {row["method"] for row in result.rows} == {
        "joint",
        "lsh",
        "pca",
        "pca-rr",
        "itq",
        "sh",
        "phash",
        "cslbp",
        "float",
    }
    for row in result.rows:
        assert set(row) == ROW
        assert (row["bits"] is None) == (row["method"] == "float")
        assert 0 <= row["value"] <= 1
        if row["tie_low"] is not None:
            assert row["tie_low"] - 1e-9 <= row["value"] <= row["tie_high"] + 1e-9
    assert len({(r["protocol"], r["method"], r["bits"], r["metric"]) for r in result.rows}) == len(result.rows)


def test_texture_places_are_found_by_the_float_descriptor(result):
    floats = [r["value"] for r in result.rows if r["method"] == "float" and r["metric"] == "map"]
    assert min(floats) > 0.9


def test_it_says_that_so_few_places_prove_nothing(result):
    assert any("too few for a claim" in note for one in result.protocols for note in one["notes"])
    assert "too few for a claim" in result.as_text()
    assert any("too few to re-centre" in note for note in result.notes)


def test_files_are_written_and_readable(result, workspace):
    stored = json.loads((workspace / "eval" / "eval.json").read_text())
    assert [row for row in stored["results"] if row["method"] != "ours"] == result.rows
    assert read_result(workspace).rows == result.rows
    page = (workspace / "eval" / "report.html").read_text()
    assert "<svg" in page
    assert "data:image/jpeg" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert len(page) < 3_000_000
    text = result.as_text()
    assert text.index("joint") < text.index("itq")


def test_same_seed_same_numbers(result, workspace):
    again = evaluate(EvalOptions(rounds=100, galleries=False), workspace)
    assert again.rows == result.rows


def test_frozen_relevance_gives_the_same_numbers_and_prints_its_hash(workspace, tmp_path):
    options = {"benchmark": "places/known", "baselines": ("itq",), "rounds": 100, "galleries": False}
    first = evaluate(EvalOptions(**options), workspace)
    frozen = tmp_path / "relevance.parquet"
    frozen.write_bytes((workspace / "eval" / "relevance.parquet").read_bytes())
    again = evaluate(EvalOptions(**options, relevance=frozen), workspace)
    assert [r["value"] for r in again.rows] == [r["value"] for r in first.rows]
    assert len(again.meta["relevance"]) == 16
    table = pq.read_table(frozen)
    pq.write_table(table.slice(1), frozen)
    other = evaluate(EvalOptions(**options, relevance=frozen), workspace)
    assert other.meta["relevance"] != again.meta["relevance"]
    pq.write_table(table.drop_columns("kind"), frozen)
    with pytest.raises(UserError, match="lacks the column kind"):
        evaluate(EvalOptions(**options, relevance=frozen), workspace)


def test_lengths_without_a_head_are_scored_for_baselines_only(workspace):
    result = evaluate(EvalOptions(benchmark="places/known", bits=(8, 24), rounds=100, galleries=False), workspace)
    assert {(r["method"], r["bits"]) for r in result.rows if r["method"] in ("joint", "itq")} == {
        ("joint", 8), ("itq", 8), ("itq", 24),
    }  # fmt: skip
    assert any("no head of 24 bits" in note for note in result.notes)


def test_copies_of_the_workspace_photos(workspace, monkeypatch):
    monkeypatch.setattr(copies, "MOST_ORIGINALS", 9)
    options = EvalOptions(benchmark="copies", bits=(16,), baselines=("itq", "phash", "float"), rounds=100)
    result = evaluate(options, workspace)
    assert {row["protocol"] for row in result.rows} == {"copies"}
    assert next(r["value"] for r in result.rows if (r["method"], r["metric"]) == ("float", "map")) > 0.5
    assert result.protocols[0]["queries"] == 5 * 9


def test_unknown_form_and_no_model(workspace, tmp_path):
    with pytest.raises(UserError, match="places/strange"):
        evaluate(EvalOptions(benchmark="places/strange"), workspace)
    empty = tmp_path / "ws"
    (empty / "pairs").mkdir(parents=True)
    (empty / "workspace.json").write_text((workspace / "workspace.json").read_text())
    for file in (workspace / "pairs").iterdir():
        (empty / "pairs" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="train --unsupervised"):
        evaluate(EvalOptions(), empty)


def test_model_of_other_pairs_is_refused(workspace, tmp_path, photo_folder, make_pairset):
    other = tmp_path / "ws"
    shutil.copytree(workspace, other)
    shutil.rmtree(other / "pairs")
    folder, listed = photo_folder
    make_pairset(other / "pairs", folder, listed[:-1])
    with pytest.raises(UserError, match="trained on pairs"):
        evaluate(EvalOptions(), other)


def test_known_relevance_by_hand(pairset):
    from hashpipe.hashing.benchmarks.protocols import places

    names = pairset.photos["path"].to_pylist()
    protocol = places(pairset, "adapted")
    assert [names[q] for q in protocol.queries] == ["p4_5.png", "p5_5.png"]
    items, _, junk = protocol.relevance.of(0)
    assert sorted(names[r] for r in protocol.database[items]) == ["p4_0.png", "p4_2.png", "p4_3.png", "p4_4.png"]
    assert [names[r] for r in protocol.database[junk]] == ["p4_1.png"]
    assert not np.isin(protocol.queries, protocol.database).any()
    unseen = places(pairset, "unseen")
    assert {names[r][:2] for r in unseen.database} == {"p3", "p4", "p5", "lo"}
    assert {names[r][:2] for r in unseen.training} == {"p0", "p1", "p2"}
    assert not np.intersect1d(unseen.training, unseen.database).size
    known = places(pairset, "known")
    assert [names[q] for q in known.queries] == ["p0_5.png", "p1_5.png", "p2_5.png"]
    assert len({p.fingerprint for p in (protocol, unseen, known)}) == 3


def test_copies_are_deterministic_and_are_what_they_say(photo_folder):
    folder, listed = photo_folder
    photos = from_paths([folder / name for name, _ in listed])
    images, protocol = copies.copies(photos, range(len(photos)), seed=3)
    again, second = copies.copies(photos, range(len(photos)), seed=3)
    assert protocol.fingerprint == second.fingerprint
    assert len(set(images.keys)) == len(images) == 6 * len(photos)
    for row in protocol.queries[:5]:
        assert images.open(int(row), None).tobytes() == again.open(int(row), None).tobytes()
    sizes = [images.open(int(row), None).size for row in protocol.queries[:5]]
    assert sizes == [(60, 60), (240, 240), (156, 156), (156, 156), (240, 240)]
    rows = protocol.database[[protocol.relevance.of(q)[0][0] for q in range(len(protocol.queries))]]
    assert [images.keys[row] for row in rows] == [images.keys[q].split(":")[0] for q in protocol.queries]


def test_photos_that_are_gone_give_no_score(workspace, tmp_path, photo_folder, make_pairset):
    folder, listed = photo_folder
    shutil.copytree(folder, tmp_path / "photos")
    other = tmp_path / "ws"
    shutil.copytree(workspace, other, ignore=shutil.ignore_patterns("pairs", "descriptors", "eval"))
    make_pairset(other / "pairs", tmp_path / "photos", listed)
    (tmp_path / "photos" / "p0_0.png").unlink()
    with pytest.raises(UserError, match=r"1 of 38 photos cannot be read or have changed, such as p0_0\.png"):
        evaluate(EvalOptions(benchmark="places/known", baselines=("none",)), other)


def test_nothing_reconstructed_falls_back_to_copies(workspace, tmp_path, photo_folder, make_pairset, monkeypatch):
    monkeypatch.setattr(copies, "MOST_ORIGINALS", 4)
    folder, listed = photo_folder
    other = tmp_path / "ws"
    shutil.copytree(workspace, other, ignore=shutil.ignore_patterns("pairs", "eval"))
    pairset = make_pairset(other / "pairs", folder, [(name, -1) for name, _ in listed])
    config = json.loads((other / "model" / "config.json").read_text())
    (other / "model" / "config.json").write_text(json.dumps({**config, "pairset": pairset.fingerprint}))
    result = evaluate(EvalOptions(baselines=("itq",), rounds=100, galleries=False), other)
    assert {row["protocol"] for row in result.rows} == {"copies"}
    assert any("copies protocol is scored instead" in note for note in result.notes)


def test_a_report_that_cannot_be_made_costs_no_score(workspace, no_drawing):
    options = EvalOptions(benchmark="places/known", baselines=("itq",), rounds=100)
    result = evaluate(options, workspace)
    assert read_result(workspace).rows == result.rows
    assert not (workspace / "eval" / "report.html").exists()
    assert "report.html" not in result.as_text()
    assert [note.split(" could not be made")[0] for note in no_drawing] == ["The report", "The page of the model card"]


KNOWN = {"benchmark": "places/known", "baselines": ("itq",), "rounds": 100, "galleries": False}


def test_relevance_out_of_eval_outlives_the_evaluation_and_those_after_it(workspace, tmp_path):
    """It is scored with where eval wrote it, and frozen under its hash, which nothing replaces."""
    ws = tmp_path / "ws"
    shutil.copytree(workspace, ws, ignore=shutil.ignore_patterns("eval", "relevance"))
    evaluate(EvalOptions(**KNOWN), ws)
    frozen = ws / "eval" / "relevance.parquet"
    content = frozen.read_bytes()
    (kept,) = (ws / "relevance").iterdir()
    assert kept.read_bytes() == content
    (ws / "eval" / "mine").mkdir()
    (ws / "eval" / "mine" / "notes.txt").write_text("mine")
    scored = evaluate(EvalOptions(**KNOWN, relevance=frozen), ws)
    assert frozen.read_bytes() == content
    assert kept.stem == scored.meta["relevance"]
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(frozen).slice(1), frozen)  # as if later pairs gave another relevance
    other.write_bytes(frozen.read_bytes())
    evaluate(EvalOptions(**KNOWN), ws)
    assert len(list((ws / "relevance").iterdir())) == 2  # that of eval/ was kept before it was replaced
    assert frozen.read_bytes() == kept.read_bytes() == content
    assert other.read_bytes() in {path.read_bytes() for path in (ws / "relevance").iterdir()}
    assert (ws / "eval" / "mine" / "notes.txt").read_text() == "mine"


def test_a_benchmark_inside_of_eval_is_refused(workspace, tmp_path):
    with pytest.raises(UserError, match=r"--root .* lies in .*eval, which is replaced"):
        evaluate(EvalOptions(benchmark="copies", root=workspace / "eval" / "photos"), workspace)
