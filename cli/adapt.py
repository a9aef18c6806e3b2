"""`hashpipe adapt`: adapt a trained model to another collection, without labels or 3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.training.options import AdaptOptions


@click.command("adapt")
@click.argument("photos", type=click.Path(path_type=Path))
@workspace_option
@options_from(AdaptOptions)
@config_option
@json_option
def adapt_command(photos: Path, workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Adapt a trained model to the photos of another collection, without labels or 3D.

    PHOTOS is a folder, or a text file with one photo per line. Finds neighbours among them, learns the bits anew from
    these and centres each on the collection; the network stays. Writes a model of its own, whose codes do not compare
    with the first one's.
    """
    options = build(AdaptOptions, given, config, "adapt")
    from hashpipe.hashing.training.adapt import adapt

    show(lambda: adapt(photos, workspace, options), as_json)
