"""evaluate(): choose what to score, score it, write eval.json and report.html."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from hashpipe.common.environment import environment
from hashpipe.common.errors import UserError
from hashpipe.common.extras import optional
from hashpipe.common.files import atomic_folder, open_workspace, write_json, write_text
from hashpipe.common.inputs import keep_input
from hashpipe.common.progress import say, stage
from hashpipe.hashing.evaluation.frozen import FILE, carry_over, freeze
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.score_all import QueryPages
from hashpipe.hashing.models.card import add_scores, write_page


def run(options: EvalOptions, workspace: Path | None) -> EvalResult:
    """Evaluate as `options` say; the workspace's eval/ folder is replaced by the new result."""
    start = time.monotonic()
    result = EvalResult()
    if workspace is None:
        raise UserError("There is no workspace to write to; name one with -w.")
    places = options.benchmark.split("/")[0] == "places"
    folder = open_workspace(workspace, create=options.codes is not None and not places)
    keep_input(options.root, "--root", folder / "eval", "move it out of there")
    if options.codes is not None:
        from hashpipe.hashing.evaluation.run_codes import score_codes

        pages = score_codes(result, options, folder)
    elif options.benchmark.split("/")[0] in ("places", "copies") and options.root is None:
        from hashpipe.hashing.evaluation.run_local import score_local

        pages = score_local(result, options, folder)
    else:
        from hashpipe.hashing.evaluation.run_benchmark import score_benchmark

        pages = score_benchmark(result, options, folder)
    result.meta |= {
        "options": _plain_options(options),
        "seconds": round(time.monotonic() - start, 1),
        "environment": _environment(),
    }
    write(result, folder / "eval", pages if options.galleries else [])
    if "model" in result.meta:
        scored = False
        with optional("The model card with these scores", "the score in eval.json"):
            scored = add_scores(folder / "model", str(result.meta["model"]), result.rows)
        with optional("The page of the model card", "the score in eval.json"):
            if scored:
                write_page(folder / "model")
    return result


def write(result: EvalResult, folder: Path, pages: list[QueryPages]) -> None:
    """Replace an eval/ folder: eval.json, what the protocols left in `result.meta['files']`, and then report.html.

    What else lies in the folder stays there.
    """
    files = result.meta.pop("files", {})
    freeze(folder.parent)
    with atomic_folder(folder) as temporary:
        result.folder = folder
        write_json(temporary / "eval.json", result.everything())
        for name, writer in files.items():
            writer(temporary / name)
        carry_over(folder, temporary)
    kept = freeze(folder.parent)
    if kept is not None and FILE in files:
        say(f"the relevant photos are recorded in {kept}; --relevance with this file scores later pairs by them")
    with optional("The report", "the score in eval.json"), stage("report", 1, "pages") as advance:
        from hashpipe.hashing.evaluation.report import render

        write_text(folder / "report.html", render(result, [row for make in pages for row in make()]))
        advance(1)


def _environment() -> dict[str, Any]:
    """Versions and hardware that a score was made with; faiss-cpu also under the key that 0.1 gave it."""
    found = environment(("hashpipe", "numpy", "torch", "faiss-cpu"))
    return {**found, "faiss": found["faiss-cpu"]}


def _plain_options(options: EvalOptions) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(options).items()
    }
