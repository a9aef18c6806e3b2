"""`hashpipe export codes`: codes for FAISS, PostgreSQL, spreadsheets and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.export.options import ExportOptions


@click.command("codes")
@workspace_option
@options_from(ExportOptions)
@config_option
@json_option
def export_codes_command(workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Write codes for other programs, with ids and three probes that prove the order of bits.

    Files go into a folder with `export.json`, which says what the codes are. A PostgreSQL table is filled in batches:
    after a lost connection the same command continues, and no row comes twice.
    """
    options = build(ExportOptions, given, config, "export.codes")
    from hashpipe.hashing.export.export_codes import export_codes

    show(lambda: export_codes(workspace, options), as_json)
