"""`hashpipe encode`: photos to binary codes with the workspace's model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.encoding.options import EncodeOptions


@click.command("encode")
@click.argument("photos", type=click.Path(path_type=Path, allow_dash=True))
@workspace_option
@options_from(EncodeOptions)
@config_option
@json_option
def encode_command(photos: Path, workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Photos to binary codes with the workspace's model.

    PHOTOS is a folder, a photo, a text file that lists photos, or - for a list on standard input: one path per line, or
    NUL-separated as `find -print0` writes it. Relative paths start from the list file, on standard input from here.

    Finished parts are kept: the same command continues where it stopped. Files that cannot be read are skipped and
    listed beside the codes.
    """
    options = build(EncodeOptions, given, config, "encode")
    from hashpipe.hashing.data.listing import split_list
    from hashpipe.hashing.encoding.encode import encode

    source = split_list(sys.stdin.buffer.read()) if str(photos) == "-" else photos
    show(lambda: encode(source, workspace, options), as_json, None if options.output else workspace)
