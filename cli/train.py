"""`hashpipe train`: learn binary codes from the pairs of a workspace, from photos alone, or from a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.options import TrainOptions
from hashpipe.pairgen.progress import say


@click.command("train")
@click.option("--unsupervised", is_flag=True, help="Learn without labels: the only way today, and so the default.")
@workspace_option
@options_from(TrainOptions)
@config_option
@json_option
def train_command(unsupervised: bool, workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Learn binary codes, without labels.

    Learns from the pairs that `hashpipe pairs build` found in photos, and from photos without pairs by neighbour
    discovery. Writes the model into the workspace.
    """
    options = build(TrainOptions, given, config, "train")
    if not unsupervised:
        say("train means train --unsupervised: nothing but photos is learnt from")
    from hashpipe.hashing.training import train

    show(lambda: train(options, workspace), as_json)
