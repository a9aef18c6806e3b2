"""`hashpipe train`: learn binary codes from the pairs of a workspace, from photos alone, or from a benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import Result, show
from hashpipe.common.errors import UserError
from hashpipe.common.progress import say, show_progress
from hashpipe.hashing.training.options import TrainOptions


@click.command("train")
@click.option("--unsupervised", is_flag=True, help="Learn without labels: the only way today, and so the default.")
@workspace_option
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a run that was stopped: the folder `run` of its workspace, which holds all its options.",
)
@options_from(TrainOptions)
@config_option
@json_option
def train_command(
    unsupervised: bool, workspace: Path, resume: Path | None, config: Path | None, as_json: bool, **given: Any
) -> None:
    """Learn binary codes, without labels.

    Learns from the pairs that `hashpipe pairs build` found in photos, and from photos without pairs by neighbour
    discovery. Writes the model into the workspace. A run that was stopped goes on when the same is asked for again.
    """
    if resume is not None:
        named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
        named += ["--config"] if config is not None else []
        if named:
            raise UserError(f"--resume goes on with the options of its run; leave {', '.join(named)} away.")
        from hashpipe.hashing.training import train as training

        _show(lambda: training.resume(resume), as_json)
        return
    options = build(TrainOptions, given, config, "train")
    if not unsupervised:
        say("train means train --unsupervised: nothing but photos is learnt from")
    from hashpipe.hashing.training.train import train

    _show(lambda: train(options, workspace), as_json)


def _show(work: Callable[[], Result], as_json: bool) -> None:
    """Show progress and result once, also where torchrun started several processes."""
    if os.environ.get("RANK", "0") == "0":
        show(work, as_json)
    else:
        show_progress("off")
        work()
