"""Documentation that can go stale: the command reference, and the commands that README shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from console import environment

from hashpipe.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_command_reference_is_current():
    done = subprocess.run(
        [sys.executable, REPOSITORY / "docs" / "commands.py", "--check"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def shown_commands() -> list[tuple[str, str]]:
    """(page, command line) of every `hashpipe ...` line in a fenced block of the documentation."""
    found = []
    for page in PAGES:
        if page.name == "commands.md":
            continue
        for block in re.findall(r"```(?:sh|console|bash)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").split("  #")[0].strip()
                if line.startswith("hashpipe "):
                    found.append((page.name, line))
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


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
