"""`hashpipe encode`: photos to binary codes with the workspace's model."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show, stdout_to_stderr
from hashpipe.hashing.encoding.options import EncodeOptions


@click.command("encode")
@click.argument("photos", type=click.Path(path_type=Path, allow_dash=True))
@workspace_option
@options_from(EncodeOptions)
@click.option(
    "--watch",
    "watching",
    is_flag=True,
    help="Go on: encode and index what is added, changed or deleted, until stopped.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch, the time between two looks.",
)
@config_option
@json_option
def encode_command(
    photos: Path, workspace: Path, watching: bool, every: float, config: Path | None, as_json: bool, **given: Any
) -> None:
    """Photos to binary codes with the workspace's model.

    PHOTOS is a folder, a photo, a text file that lists photos, or - for a list on standard input: one path per line, or
    NUL-separated as `find -print0` writes it. Relative paths start from the list file, on standard input from here.

    Finished parts are kept: the same command continues where it stopped. Files that cannot be read are skipped and
    listed beside the codes.

    --watch needs a folder. It also keeps the index up to date, so that `hashpipe serve` shows new photos. Where the
    folder is missing or empty, or most photos are, as on a drive that is away, codes and index are kept. With --json
    every round prints one JSON object on a line.
    """
    options = build(EncodeOptions, given, config, "encode")
    if watching:
        _watch(photos, workspace, options, every, as_json)
        return
    from hashpipe.hashing.data.listing import split_list
    from hashpipe.hashing.encoding.encode import encode

    source = split_list(sys.stdin.buffer.read()) if str(photos) == "-" else photos
    show(lambda: encode(source, workspace, options), as_json, None if options.output else workspace)


def _watch(photos: Path, workspace: Path, options: EncodeOptions, every: float, as_json: bool) -> None:
    from hashpipe.hashing.search.watch import watch

    rounds = watch(photos, workspace, options, every)
    while True:
        with stdout_to_stderr() if as_json else contextlib.nullcontext():
            done = next(rounds)
        print(json.dumps(done.as_json()) if as_json else done.as_text(), flush=True)
