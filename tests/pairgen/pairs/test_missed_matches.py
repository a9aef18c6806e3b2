"""Rendered places whose matches are partly dropped: no two photos of one place may become dissimilar."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.summary import BuildSummary

if TYPE_CHECKING:  # several folders have a conftest, so the name must not be imported when tests run
    from conftest import RenderedPhotos

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "stress_dissimilar.py"


def stress_benchmark() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("stress_dissimilar", BENCHMARK)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_no_wrong_dissimilar_pair_where_matches_are_missing(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path, share: float
) -> None:
    stress = stress_benchmark()
    shutil.copytree(built[0], tmp_path / "ws")
    options = BuildOptions()
    whole = stress.collection(tmp_path / "ws", options)
    names = [Path(photo.path).name for photo in whole.photos]
    folder = [str(rendered_photos.truth.place.get(name, name)) for name in names]
    counts = {True: np.zeros(2, int), False: np.zeros(2, int)}
    for seed in range(20):
        part, labels = stress.thinned(whole, share, seed, options)
        for rule in counts:
            found = stress.count(stress.dissimilar(part, labels, options, rule), folder, {})
            counts[rule] += found["wrong"], found["dissimilar"]
    assert counts[True][0] == 0
    assert counts[True][1] > 0.5 * counts[False][1], "what is left must not be hardly anything"
    if share > 0.3:
        assert counts[False][0] > 0, "without the rule there are wrong pairs, so this test can fail"
