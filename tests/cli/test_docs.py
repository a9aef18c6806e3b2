"""Documentation that can go stale: generated pages, commands, links, tables, and code that is quoted from files."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from console import environment

from hashpipe.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
NAMES = {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec and spec.loader  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def prose(text: str) -> str:
    """A page without its fenced blocks and comments."""
    return re.sub(r"<!--.*?-->", "", FENCED.sub("", text), flags=re.DOTALL)


def test_command_reference_is_current():
    done = subprocess.run(
        [sys.executable, DOCS / "commands.py", "--check"], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_figures_of_readme_are_those_of_the_results():
    done = subprocess.run([sys.executable, DOCS / "readme.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(script("readme").MARKED.findall(NAMES["README.md"])) == len(script("readme").BLOCKS)


def test_a_figure_that_disagrees_is_found():
    readme = script("readme")
    assert "8.7 minutes" in NAMES["README.md"]
    assert readme.filled(NAMES["README.md"].replace("8.7 minutes", "7.8 minutes")) == NAMES["README.md"]


def test_table_of_kinds_is_current():
    done = subprocess.run(
        [sys.executable, DOCS / "photos.py", "--check"], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# -- commands ---------------------------------------------------------------------------------------------------------


def shown_commands() -> list[tuple[str, str]]:
    """(page, command line) of every `hashpipe ...` line in a fenced block of the documentation."""
    found = []
    for page, text in NAMES.items():
        for language, block in FENCED.findall(text):
            if language not in ("sh", "console", "bash"):
                continue
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").split("  #")[0].strip()
                if line.startswith("hashpipe "):
                    found.append((page, line))
    return found


def test_readme_shows_the_three_commands():
    lines = [line for page, line in shown_commands() if page == "README.md"]
    for start in ("hashpipe pairs build ", "hashpipe train", "hashpipe eval"):
        assert any(line.startswith(start) for line in lines), start


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_shown_commands_parse(page, line):
    """Command, options and the values of choices exist; nothing is run."""
    group: click.Command = main.hashpipe
    words = shlex.split(line)[1:]
    context = click.Context(group, info_name="hashpipe")
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        _, command, rest = group.resolve_command(context, words)
        group, words = command, rest
        context = click.Context(group, parent=context)
    if not set(words) & {"-h", "--help", "--version"}:
        group.make_context("shown", words, parent=context.parent)


@pytest.mark.parametrize("page", NAMES)
def test_benchmark_scripts_that_pages_name_exist(page):
    for name in re.findall(r"\b((?:bench|choose|freeze)_\w+\.py)", NAMES[page]):
        assert (REPOSITORY / "benchmarks" / name).exists(), name


# -- links and names --------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", head) for head in heads]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(NAMES[page])):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (REPOSITORY / page).parent / name if name else REPOSITORY / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


def test_every_page_is_reached_from_readme():
    reached, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(page.read_text(encoding="utf-8")))
        waiting += [page.parent / link for link in links if "://" not in link]
    assert sorted(set(PAGES) - reached) == []


def test_pages_have_lower_case_names():
    names = [path.name for path in DOCS.rglob("*.md") if path.name != "README.md"]
    assert [name for name in names if name != name.lower()] == []


# -- tables -----------------------------------------------------------------------------------------------------------


def table_faults(text: str) -> list[str]:
    """What makes Markdown tables of a page render wrong: no blank line before, or rows of unequal width."""
    faults = []
    lines = FENCED.sub(lambda match: "\n" * match[0].count("\n"), text).splitlines()
    start = 0
    while start < len(lines):
        if not lines[start].startswith("|"):
            start += 1
            continue
        end = start
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        widths = [len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines[start:end]]
        rules = [row for row in range(start, end) if re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", lines[row])]
        if start and lines[start - 1].strip() and not lines[start - 1].startswith("<!--"):
            faults.append(f"line {start + 1}: no blank line before the table")
        if rules != [start + 1]:
            faults.append(f"line {start + 1}: not one head and one rule below it, two tables glued together")
        faults += [f"line {start + row + 1}: another width" for row in range(len(widths)) if widths[row] != widths[0]]
        start = end
    return faults


@pytest.mark.parametrize("page", NAMES)
def test_tables_render(page):
    assert table_faults(NAMES[page]) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("text\n| a | b |\n|---|---|\n| 1 | 2 |\n", "no blank line"),
        ("\n| a | b |\n|---|---|\n| 1 | 2 | 3 |\n", "another width"),
        ("\n| a | b |\n|---|---|\n| 1 | 2 |\n| c | d |\n|---|---|\n| 3 | 4 |\n", "glued"),
        ("\n| a | b |\n| 1 | 2 |\n", "rule"),
    ],
)
def test_broken_tables_are_found(text, says):
    assert says in " ".join(table_faults(text))


def test_a_good_table_has_no_faults():
    assert table_faults("text\n\n| a | b |\n|---|:--|\n| 1 | `x \\| y` |\n\n```text\n| no | table\n```\n") == []


# -- results ----------------------------------------------------------------------------------------------------------


def test_pages_of_results_agree_with_their_json():
    results = script("results")
    tables = results.measurements()
    used: list[str] = []
    for page in results.pages():
        text = page.read_text(encoding="utf-8")
        assert results.filled(text, tables) == text, f"{page.name} is out of date; run `make docs`"
        assert not re.search(r"^\|", results.MARKED.sub("", text), re.MULTILINE), f"{page.name}: a table without JSON"
        used += [name for name, _ in results.MARKED.findall(text)]
        assert len(text.splitlines()) <= 100, f"{page.name} is longer than 100 lines"
    assert sorted(used) == sorted(tables), "each table stands on one page"


GOOD = {"command": "c", "commit": "0123abc", "seeds": [0], "machine": "m"}
TABLE = {"name": "t", "caption": "C", "columns": ["a", "b"], "rows": [["x", 0.5], ["y", [0.25, 0.125]], ["z", None]]}


def test_a_table_is_written_with_its_command(tmp_path):
    results = script("results")
    (tmp_path / "one.json").write_text(json.dumps({**GOOD, "seeds": [0, 1], "tables": [TABLE]}))
    page = results.filled("before\n<!-- table: t -->\nold\n<!-- end -->\nafter\n", results.measurements(tmp_path))
    assert page == (
        "before\n<!-- table: t -->\n**C.** `c`; commit 0123abc; seeds 0, 1; m.\n\n| a | b |\n|---|---|\n"
        "| x | .500 |\n| y | .250 ± .125 |\n| z | - |\n<!-- end -->\nafter\n"
    )
    for seeds, says in (([], "nothing random"), (None, "seeds not recorded"), ([3], "seed 3")):
        (tmp_path / "one.json").write_text(
            json.dumps({**GOOD, "commit": ["a", "b"], "seeds": seeds, "tables": [TABLE]})
        )
        assert f"commit a, b; {says}; m." in results.markdown(results.measurements(tmp_path)["t"])
    with pytest.raises(ValueError, match="no JSON file holds"):
        results.filled("<!-- table: other -->\n<!-- end -->", results.measurements(tmp_path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"command": ""}, "lacks command"),
        ({"commit": None}, "lacks commit"),
        ({"machine": ""}, "lacks machine"),
        ({"tables": [{**TABLE, "rows": [["x"]]}]}, "another width"),
        ({"tables": [TABLE, TABLE]}, "two tables"),
    ],
)
def test_incomplete_measurements_are_refused(change, says, tmp_path):
    results = script("results")
    (tmp_path / "one.json").write_text(json.dumps({**GOOD, "tables": [TABLE], **change}))
    with pytest.raises(ValueError, match=says):
        results.measurements(tmp_path)


def test_seeds_must_be_named(tmp_path):
    content = {**GOOD, "tables": [TABLE]}
    del content["seeds"]
    (tmp_path / "one.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lacks seeds"):
        script("results").measurements(tmp_path)


# -- quoted code ------------------------------------------------------------------------------------------------------


def quotations() -> list[tuple[str, str, str]]:
    """(page, file, code) of fenced blocks that follow a paragraph ending with the name of a file and a colon."""
    found = []
    for page, text in NAMES.items():
        for match in re.finditer(
            r"`([\w/.-]+\.(?:py|toml))`:\n\n```(?:python|toml)\n(.*?)^```", text, re.DOTALL | re.M
        ):
            found.append((page, match[1], match[2]))
    return found


@pytest.mark.parametrize(("page", "file", "code"), quotations(), ids=lambda value: value[:40].split("\n")[0])
def test_quoted_code_is_in_its_file(page, file, code):
    assert code in (REPOSITORY / file).read_text(encoding="utf-8")


def test_something_is_quoted():
    assert len(quotations()) >= 4


@pytest.mark.parametrize("page", [name for name in NAMES if name.startswith(("docs/extend/", "CONTRIBUTING"))])
def test_tests_that_guides_name_exist(page):
    everything = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", NAMES[page]):
        assert f"def {name}(" in everything, name
