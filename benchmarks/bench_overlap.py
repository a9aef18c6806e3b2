"""Pair evidence of a simulated 100-photo model against the double loop of the tests."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np

from hashpipe.pairgen.mapping.overlap import pair_evidence

_TESTS = Path(__file__).resolve().parents[1] / "tests" / "pairgen" / "test_overlap.py"


def main(photos: int = 100, points: int = 5000) -> None:
    spec = importlib.util.spec_from_file_location("double_loop", _TESTS)
    assert spec
    assert spec.loader
    twin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(twin)
    model = twin.simulated_model(photos, points, chance=0.3)
    visible = twin.simulated_model(photos, points, chance=0.5).incidence().astype(bool)
    fast = min(_seconds(lambda: pair_evidence(model, visible)) for _ in range(3))
    # the double loop takes minutes: time a quarter of the photos and count pairs
    few = photos // 4
    rows = np.flatnonzero(model.observations[:, 0] < few)
    part = type(model)(
        **{
            name: getattr(model, name)[:few]
            for name in ("photos", "rotation", "translation", "focal", "principal", "size")
        },
        **{name: getattr(model, name) for name in ("points", "colors", "errors")},
        observations=model.observations[rows],
    )
    slow = _seconds(lambda: twin.slow_evidence(part, visible[:few])) * (photos * (photos - 1)) / (few * (few - 1))
    print(f"{photos} photos, {points} points: {fast:.2f} s; double loop {slow:.0f} s; {slow / fast:.0f} times faster")


def _seconds(work) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
