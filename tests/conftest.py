"""Photos for the tests: rendered ones (always), the development photos (not distributed; skipped where absent)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the console script does, before anything loads OpenMP

from hashpipe.common import extras
from hashpipe.pairgen.synthetic.demo_photos import DemoTruth, write_demo_photos


@dataclass(frozen=True)
class RenderedPhotos:
    """A folder of rendered photos and what is in it."""

    folder: Path
    truth: DemoTruth


def small_collection(folder: Path, seed: int = 0) -> RenderedPhotos:
    """3 places x 6 views of 480 x 360, 2 lone photos, a duplicate and a broken file; a few seconds."""
    return RenderedPhotos(folder, write_demo_photos(folder, 3, 6, 2, (480, 360), seed=seed))


@pytest.fixture(scope="session")
def rendered_photos(tmp_path_factory: pytest.TempPathFactory) -> RenderedPhotos:
    """The small collection, rendered once; tests only read it (copy it to change it)."""
    return small_collection(tmp_path_factory.mktemp("photos") / "rendered")


@pytest.fixture(scope="session")
def development_photos() -> Path:
    """The folder of development photos, with sub-folders `places` and `distractors`."""
    folder = Path(os.environ.get("HASHPIPE_PHOTOS") or Path(__file__).resolve().parents[2] / "shared" / "photos")
    if not (folder / "places").is_dir():
        pytest.skip(f"the development photos are not at {folder}; set HASHPIPE_PHOTOS")
    return folder


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Neither matplotlib nor Jinja can be loaded; the list fills with the notes that are said of it."""
    drawing = ("evaluation.report", "evaluation.plots", "search.page", "calibration.plot")
    for name in drawing:  # loaded by an earlier test, they would need no import any more
        monkeypatch.delitem(sys.modules, f"hashpipe.hashing.{name}", raising=False)
    for name in ("jinja2", "matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    said: list[str] = []
    monkeypatch.setattr(extras, "say", said.append)
    return said
