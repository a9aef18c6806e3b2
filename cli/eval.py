"""`hashpipe eval`: score codes, or set stored scores side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, open_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.cli.usage_errors import refuse_split_lists
from hashpipe.hashing.evaluation.options import EvalOptions


@click.command("eval")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--compare", is_flag=True, help="Compare stored evaluations RUN RUN ... query by query, instead of scoring."
)
@options_from(EvalOptions)
@workspace_option
@open_option
@config_option
@json_option
def eval_command(
    runs: tuple[Path, ...],
    compare: bool,
    workspace: Path,
    open_page: bool,
    config: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Score the codes on held-out photos, beside the baselines.

    Without --benchmark the workspace's own held-out photos are the queries, and 3D geometry says which photos are
    right:
    no labels are needed. Values are exact expectations over the order of tied photos, with the best and the worst order
    beside them. The table goes to the terminal; WORKSPACE/eval holds eval.json and report.html.
    """
    if not compare:
        refuse_split_lists(click.get_current_context())
    if compare or runs:
        from hashpipe.hashing.evaluation.compare import compare_runs

        show(lambda: compare_runs(runs, asked=compare), as_json)
        return
    options = build(EvalOptions, given, config, "eval")
    from hashpipe.hashing.evaluation import evaluate

    page = (lambda result: result.folder / "report.html") if open_page else None
    show(lambda: evaluate(options, workspace), as_json, workspace, page)
