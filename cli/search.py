"""`hashpipe search`: the photos of an index that look like a given one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from hashpipe.cli.index import listed
from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import print_json, stdout_to_stderr
from hashpipe.hashing.search.options import SearchOptions


class _Search(click.Command):
    """`--rerank NAME` means `--rerank --rerank-by NAME`; alone, as in hashpipe 0.1, it is followed by photos."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        orders = get_args(get_type_hints(SearchOptions)["rerank_by"])
        written: list[str] = []
        for at, one in enumerate(args):
            name = one.removeprefix("--rerank=")
            if name != one:
                written += ["--rerank", "--rerank-by", name]
            elif at and args[at - 1] == "--rerank" and one in orders:
                written += ["--rerank-by", one]
            else:
                written.append(one)
        return super().parse_args(ctx, written)


@click.command("search", cls=_Search)
@click.argument("photos", nargs=-1)
@workspace_option
@options_from(SearchOptions)
@config_option
@json_option
def search_command(photos: tuple[str, ...], workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Find photos of the index that look like PHOTOS; - reads a list from stdin.

    Prints lines `distance  path`, nearest first, and nothing else on stdout. With several photos, a line `# PHOTO`
    stands above the lines of each. With --verify lines read `distance inliers path`; `-`: not checked, -1: a
    photo without features.
    """
    options = build(SearchOptions, given, config, "search")
    from hashpipe.hashing.search.search import search

    with stdout_to_stderr() if as_json else contextlib.nullcontext():
        result = search(listed(photos), workspace, options)
    if as_json:
        print_json(result.as_json())
    elif text := result.as_text():  # nothing found is no line, not an empty one
        print(text, flush=True)
