"""`hashpipe methods`: the list, one method, and a name that there is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from hashpipe.cli.main import run
from hashpipe.hashing.training import method_list
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_all_methods_with_needs_head_source_and_whether_they_are_sure(capsys):
    assert run(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines if line and line[0] != " "}
    assert set(OBJECTIVES) <= set(rows)
    assert "pairs, dissimilar, grades" in rows["dsrh"]
    for name in OBJECTIVES:
        assert ("reconstruction" in rows[name]) == bool(objective_class(name).reconstruction)
        assert "](" not in rows[name]
    assert "photos" in rows["bihalf"]


def test_one_method_with_its_formula_and_options(capsys):
    assert run(["methods", "dtsh"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("DTSH: deep supervised hashing with triplet labels")
    assert "quantise = 0.0044" in text
    assert "hashpipe train --objective dtsh" in text
    assert run(["methods", "lin2015", "--json"]) == 0
    assert '"needs": [\n    "places"\n  ]' in capsys.readouterr().out


@pytest.mark.parametrize(("name", "said"), [("dthsh", "did you mean dtsh"), ("xyz", "`hashpipe methods` lists all")])
def test_an_unknown_name_is_refused_with_those_that_are_near(name, said, capsys):
    assert run(["methods", name]) == 2
    assert said in capsys.readouterr().err


def test_the_table_of_the_documentation_is_current():
    spec = importlib.util.spec_from_file_location("methods_page", DOCS / "methods.py")
    assert spec
    assert spec.loader
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.page() == (DOCS / "methods.md").read_text(encoding="utf-8"), "run `make docs`"
    assert method_list.table().count("\n") == len(OBJECTIVES) + 1


def test_tests_are_counted_by_file_and_by_case():
    spec = importlib.util.spec_from_file_location("methods_page", DOCS / "methods.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    there = "tests/hashing/training"
    found = module.counted(
        [
            f"{there}/objectives/test_dpsh.py::test_one",
            f"{there}/test_loop.py::test_two[ssdh-semi-0]",
            f"{there}/test_loop.py::test_two[rvssdh-dpsh]",
            f"{there}/test_loop.py::test_none",
        ]
    )
    assert found == {"dpsh": 2, "ssdh-semi": 1, "rvssdh": 1}
