"""Runs of the nested benchmark: planned, stopped, gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest
from nested import data, items, protocol, results
from threadpoolctl import threadpool_info
from toy_places import CASES, made


@pytest.fixture(scope="module")
def toy() -> data.Collection:
    return made()


def test_a_plan_names_every_fit_once_and_adapted_adds_no_baseline():
    plan = items.Plan(("toy",), ("known", "adapted", "unseen"), (16, 64), "mark")
    every = [*plan.baselines((0, 1), "outer"), *plan.baselines((0, 1), "inner")]
    assert {item.form for item in every} == {"known", "unseen"}
    fitted = dict.fromkeys(item for item in every if item.bits)
    assert len(fitted) == 2 * 2 * 2 * (1 + 5 + 10)  # methods, lengths, seeds; fits
    assert len({item.key for item in every}) == len(dict.fromkeys(every))


@pytest.fixture
def file(toy, tmp_path) -> Path:
    data.save(tmp_path / "toy.npz", toy)
    return tmp_path / "toy.npz"


def test_a_file_gives_the_collection_back(toy, file):
    again = data.load(file)
    assert again.mark == toy.mark
    for form, hidden in CASES:
        one, other = (protocol.case(collection, form, hidden, 1) for collection in (toy, again))
        assert [search.fingerprint for search in one.searches] == [search.fingerprint for search in other.searches]
        assert (one.targets.weight == other.targets.weight).all()
        assert (one.targets.group == other.targets.group).all()


def test_a_killed_run_goes_on_where_it_stopped(toy, file, tmp_path):
    path, plan = tmp_path / "results.jsonl", items.Plan(("toy",), ("known",), (16, 32), toy.mark)
    todo = list(plan.baselines((0,), "outer"))
    assert results.run(path, file, todo[:2], 1, 1e6, lambda text: None)
    whole = path.read_text()
    path.write_text(whole[:-30])  # killed while it wrote the last line
    assert results.run(path, file, todo, 1, 1e6, lambda text: None)
    lines = results.read(path)
    assert [line["key"] for line in lines if "key" in line] == [todo[0].key, *(item.key for item in todo[1:])]
    assert [line["data"] for line in lines if "run" in line] == [toy.mark] * 2
    before = path.read_text()
    assert results.run(path, file, todo, 1, 1e6, lambda text: None)
    assert path.read_text() == before


def test_a_run_stops_when_time_is_up(toy, file, tmp_path):
    path, plan = tmp_path / "results.jsonl", items.Plan(("toy",), ("known",), (16, 32), toy.mark)
    told = []
    assert not results.run(path, file, list(plan.baselines((0,), "outer")), 1, 0.0, told.append)
    assert len(results.done(results.read(path))) == 1
    assert "4 fits are left" in told[0]


def test_a_fit_has_one_thread():
    with results.one_thread():
        assert {library["num_threads"] for library in threadpool_info()} == {1}
        assert results.torch.get_num_threads() == 1
