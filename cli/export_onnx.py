"""`hashpipe export onnx`: the model as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.encoding.options import OnnxOptions


@click.command("onnx")
@workspace_option
@options_from(OnnxOptions)
@config_option
@json_option
def export_onnx_command(workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """The hash network as ONNX, checked against torch.

    Pixels go in, real outputs of one code length come out; preprocessing and thresholds are in the file's
    metadata. Says how many bits differ from torch's under ONNX Runtime and OpenVINO, on photos of the workspace.
    """
    options = build(OnnxOptions, given, config, "export.onnx")
    from hashpipe.hashing.export.export_onnx import export_onnx

    show(lambda: export_onnx(workspace, options), as_json)
