"""Look-alikes: rendered places that share a house front, between neighbours of their own. Is any label wrong?

    python benchmarks/bench_twins.py                      # 4 pairs of twins, fronts of 4 to 10 metres, about 4 minutes
    python benchmarks/bench_twins.py --widths 6 --views 10

Each pair of twins is built together with a third place that looks like neither. COLMAP is free to lay the twins upon
each other; counted is what the labels then say.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np

from hashpipe.common.progress import show_progress
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset

_SCENES = Path(__file__).resolve().parents[1] / "tests" / "twin_scenes.py"


def scenes() -> ModuleType:
    """The scenes that the tests use."""
    spec = importlib.util.spec_from_file_location("twin_scenes", _SCENES)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(workspace: Path, truth: dict[str, int]) -> dict[str, object]:
    pairset = read_pairset(workspace / "pairs")
    place = np.array([truth[path] for path in pairset.photos["path"].to_pylist()])
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    same = place[a] == place[b]
    model = pairset.photo_column("model")
    mixed = [number for number in np.unique(model[model >= 0]) if len(set(place[model == number].tolist())) > 1]
    return {
        "models that mix two places": len(mixed),
        "similar": int((label > 0).sum()),
        "similar across places": int(((label > 0) & ~same).sum()),
        "dissimilar": int((label < 0).sum()),
        "dissimilar inside a place": int(((label < 0) & same).sum()),
        "dissimilar between the twins": int(((label < 0) & (place[a] < 2) & (place[b] < 2) & ~same).sum()),
        "relations": [f"{row['relation']}: {row['evidence']}" for row in pairset.relations.to_pylist()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=float, nargs="+", default=[4, 6, 8, 10], help="metres of the common front")
    parser.add_argument("--views", type=int, default=10, help="photos of each place")
    parser.add_argument("--size", type=int, nargs=2, default=(560, 420), metavar=("WIDTH", "HEIGHT"))
    options = parser.parse_args()
    show_progress("auto")
    twins = scenes()
    for number, width in enumerate(options.widths):
        with tempfile.TemporaryDirectory() as scratch:
            folder, workspace = Path(scratch) / "photos", Path(scratch) / "ws"
            places = [(number, 100 + 2 * number), (number, 101 + 2 * number), (50 + number, 200 + number)]
            truth = twins.write_twins(folder, places, options.views, tuple(options.size), width)
            build_pairs(folder, workspace, BuildOptions())
            print(json.dumps({"common front, metres": width, **judge(workspace, truth)}), flush=True)


if __name__ == "__main__":
    main()
