"""`hashpipe index`: build an index of codes, add photos, remove photos, say what it holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.cli.usage_errors import refuse_split_lists
from hashpipe.hashing.search.index_options import IndexFolder, IndexOptions, RemoveOptions

_codes = click.argument("codes", nargs=-1, type=click.Path(path_type=Path))


@click.command("build")
@_codes
@workspace_option
@options_from(IndexOptions)
@config_option
@json_option
def build_command(codes: tuple[Path, ...], workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Build an index from codes files, in place of an older one.

    CODES are files that `hashpipe encode` wrote, for instance the shards of one collection; without any,
    WORKSPACE/codes.parquet. Codes of different models, lengths or thresholds do not mix. The recall of an approximate
    kind is measured against the exact flat index and printed.
    """
    options = build(IndexOptions, given, config, "index.build")
    from hashpipe.hashing.search.index_commands import build_index

    show(lambda: build_index(codes, workspace, options), as_json, workspace)


@click.command("add")
@_codes
@workspace_option
@options_from(IndexFolder)
@json_option
def add_command(codes: tuple[Path, ...], workspace: Path, as_json: bool, **given: Any) -> None:
    """Add codes files to an index; a photo that it holds already, by path, is replaced and keeps its id.

    Killed half-way, the old index is still complete.
    """
    options = build(IndexFolder, given)
    from hashpipe.hashing.search.index_commands import add_to_index

    show(lambda: add_to_index(codes, workspace, options), as_json)


@click.command("remove")
@click.argument("photos", nargs=-1)
@workspace_option
@options_from(RemoveOptions)
@json_option
def remove_command(photos: tuple[str, ...], workspace: Path, as_json: bool, **given: Any) -> None:
    """Remove photos from an index; the photo files are left alone.

    PHOTOS are paths as `hashpipe search` prints them, or folders with all below them; - reads a list from stdin.
    """
    refuse_split_lists(click.get_current_context())
    options = build(RemoveOptions, given)
    from hashpipe.hashing.search.index_commands import remove_from_index

    show(lambda: remove_from_index(listed(photos), workspace, options), as_json)


@click.command("info")
@workspace_option
@options_from(IndexFolder)
@json_option
def info_command(workspace: Path, as_json: bool, **given: Any) -> None:
    """Say what an index holds, after checking that its files are complete."""
    options = build(IndexFolder, given)
    from hashpipe.hashing.search.index_commands import index_info

    show(lambda: index_info(workspace, options), as_json)


def listed(names: tuple[str, ...]) -> list[str]:
    """The names given, with - replaced by those on stdin: one per line, or NUL-separated."""
    from hashpipe.hashing.data.listing import split_list

    found: list[str] = []
    for name in names:
        found += map(str, split_list(sys.stdin.buffer.read())) if name == "-" else [name]
    return found
