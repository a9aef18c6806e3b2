"""`hashpipe train`: learn binary codes from the pairs of a workspace, from photos alone, or from a benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hashpipe.cli import train_settings
from hashpipe.cli.config_files import read_section
from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import Result, show
from hashpipe.common.errors import UserError
from hashpipe.common.progress import say, show_progress
from hashpipe.hashing.training.options import TrainOptions


@click.command("train", epilog=train_settings.EPILOG)
@click.option("--unsupervised", is_flag=True, help="Training without labels (the default).")
@workspace_option
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue a run that was stopped: the folder `run` of its workspace, which holds all its options.",
)
@options_from(TrainOptions)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set any further option, of training or of the objective; may be given several times.",
)
@train_settings.former_options
@config_option
@json_option
def train_command(
    unsupervised: bool,
    workspace: Path,
    resume: Path | None,
    settings: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Learn binary codes, without labels.

    Learns from the pairs that `hashpipe pairs build` found in photos, and from photos without pairs by neighbour
    discovery. Writes the model into the workspace. The same command continues a run that was stopped.
    """
    if resume is not None:
        named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
        named += ["--config"] if config is not None else []
        named += ["--set"] if settings else []
        if named:
            raise UserError(f"--resume continues with the options of its run; omit {', '.join(named)}.")
        from hashpipe.hashing.training import train

        _show(lambda: train.resume(resume), as_json, None)
        return
    options = _options(given, settings, config)
    if options.labels and unsupervised:
        raise UserError("--unsupervised and --labels exclude each other; give one of them.")
    if options.labels:
        say("SUPERVISED training from the benchmark's class labels, for comparison only.")
    from hashpipe.hashing.training.train import train as learn

    _show(lambda: learn(options, workspace), as_json, workspace)


def _options(given: dict[str, Any], settings: tuple[str, ...], config: Path | None) -> TrainOptions:
    """Options of training and of the chosen objective, from the command line, --set and the configuration file."""
    table = read_section(config, "train") if config is not None else {}
    table, former = train_settings.former_keys(table)
    given, assigned = train_settings.assignments(given, settings)
    assigned = {**former, **assigned}
    name = given.get("objective") or assigned.get("objective") or table.get("objective") or TrainOptions.objective
    from hashpipe.hashing.training.objectives import objective_class

    method = objective_class(str(name)).Options
    assigned = train_settings.without_gone_parts(str(name), assigned)
    train_settings.check_names(str(name), assigned, method)
    options = build(TrainOptions, given, config, "train", (method,), assigned, table)
    return replace(options, method=build(method, given, config, "train", (TrainOptions,), assigned, table))


def _show(work: Callable[[], Result], as_json: bool, workspace: Path | None) -> None:
    """Show progress and result once, also where torchrun started several processes."""
    if os.environ.get("RANK", "0") == "0":
        show(work, as_json, workspace)
    else:
        show_progress("off")
        work()
