"""Write docs/commands.md from the commands' own help; with --check only say whether it is current (exit code 1 if not).

Run it as `make docs`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import click

from hashpipe.cli.main import LazyGroup, hashpipe
from hashpipe.cli.option_fields import Option, options_of
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.options import TrainOptions

PAGE = Path(__file__).with_name("commands.md")
HEAD = """\
# Commands

Written by `make docs` from the commands' help.

All commands share one workspace folder: `-w DIR`, else `$HASHPIPE_WORKSPACE`, else `./hashpipe-workspace`.
Options come from the command line, else from the table of that command in the file given with `--config`, else from
the defaults shown here.

Exit codes: 0 done; 2 an error that you can fix (one sentence on stderr says how); 130 or 143 stopped by Ctrl-C or
SIGTERM; 141 where nobody reads the output any more. After a stop finished work is kept, and the same command continues.
With `--json` stdout holds exactly one JSON object; progress and warnings go to stderr.
"""


def commands(group: LazyGroup, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, each group before its members."""
    yield above
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, LazyGroup):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name)


def further() -> Iterator[str]:
    """The options of `train` that its help leaves to --set and configuration files, and those of each objective."""
    yield "Further options of `train`, given as `--set name=value` or in the table `[train]` of a configuration file:\n"
    yield table((one for one in options_of(TrainOptions) if one.metadata.get("hidden")), {})
    for name in OBJECTIVES:
        kind = objective_class(name).Options
        yield f"Options of `--objective {name}`:\n"
        yield table(options_of(kind), {one.name: one.default for one in fields(kind)})


def table(options: Iterable[Option], defaults: dict[str, object]) -> str:
    rows = []
    for one in options:
        default = defaults.get(one.name, one.default)
        shown = "" if default is None else ",".join(map(str, default)) if isinstance(default, tuple) else default
        rows.append(f"| `{one.key}` | {one.metadata.get('help', '')} | {shown} |")
    return "\n".join(["| option | meaning | default |", "|---|---|---|", *rows, ""])


def page() -> str:
    script = Path(sys.executable).with_name("hashpipe")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HASHPIPE_")}
    parts = [HEAD]
    for command in commands(hashpipe):
        shown = subprocess.run(
            [script, *command, "--help"],
            env={**environment, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        parts.append(f"## {' '.join(('hashpipe', *command))}\n\n```text\n{shown.rstrip()}\n```\n")
        if command == ("train",):
            parts.extend(further())
    return "\n".join(parts)


if __name__ == "__main__":
    text = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE} is out of date; run `make docs`.")
    else:
        PAGE.write_text(text, encoding="utf-8")
