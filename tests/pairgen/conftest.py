"""One build of the small rendered collection for all tests of this room."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.summary import BuildSummary

if TYPE_CHECKING:  # several folders have a conftest, so the name must not be imported when tests run
    from conftest import RenderedPhotos


@pytest.fixture(scope="session")
def built(rendered_photos: RenderedPhotos, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildSummary]:
    """One finished build of the small collection; tests only read it (copy it to change it)."""
    workspace = tmp_path_factory.mktemp("built") / "ws"
    return workspace, build_pairs(rendered_photos.folder, workspace, BuildOptions())
