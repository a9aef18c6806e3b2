"""`hashpipe pairs import` and `pairs export`: pairs from and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.pairgen.formats.options import ExportOptions, ImportOptions


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@options_from(ImportOptions)
@workspace_option
@json_option
def import_command(source: Path, workspace: Path, as_json: bool, **given: Any) -> None:
    """Import pairs that another program found.

    SOURCE is a folder with COLMAP models (.bin or .txt), a training database of cirtorch (.pkl), a pair list of hloc
    (.txt) or a table (.csv). Pickles are read without running code in them. Train and check work on the
    result as on pairs that were built.
    """
    options = build(ImportOptions, given)
    from hashpipe.pairgen.formats.import_pairs import import_pairs

    show(lambda: import_pairs(source, workspace, options), as_json, workspace)


@click.command("export")
@click.argument("out", type=click.Path(path_type=Path))
@options_from(ExportOptions)
@workspace_option
@json_option
def export_command(out: Path, workspace: Path, as_json: bool, **given: Any) -> None:
    """Write the pairs of a workspace for other programs.

    OUT is a new folder for cirtorch (name it retrieval-SfM-...) and hloc, a new file for csv and pml.
    """
    options = build(ExportOptions, given)
    from hashpipe.common.files import open_workspace
    from hashpipe.pairgen.formats.export_pairs import export_pairs
    from hashpipe.pairgen.pairs.pairset import read_pairset

    show(lambda: export_pairs(read_pairset(open_workspace(workspace, create=False) / "pairs"), out, options), as_json)
