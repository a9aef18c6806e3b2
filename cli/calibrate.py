"""`hashpipe calibrate`: which radius keeps false matches as rare as wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.calibration.options import CalibrateOptions


@click.command("calibrate")
@workspace_option
@options_from(CalibrateOptions)
@config_option
@json_option
def calibrate_command(workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Measure false matches and recall by radius and suggest a radius.

    Uses the pairs that `hashpipe pairs build` found and codes of the same photos. The false-match rate is the share of
    comparisons of photos of different places that fall within the radius, measured on held-out photos where there are
    enough. Writes WORKSPACE/calibration.json, which `hashpipe search` uses by default, and a plot beside it.
    """
    options = build(CalibrateOptions, given, config, "calibrate")
    from hashpipe.hashing.calibration.calibrate import calibrate

    show(lambda: calibrate(workspace, options), as_json, workspace)
