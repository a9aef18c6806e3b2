"""A small collection with places and a 3D model, and a real server for it on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import Served, client, make_collection
from small_models import vlad_model, write_pictures

from hashpipe.hashing.serve.options import ServeOptions

for package in ("fastapi", "uvicorn", "python_multipart", "cachetools", "httpx"):
    pytest.importorskip(package, reason=f"the page needs {package}: pip install '.[serve,test]'")

Start = Callable[..., "contextlib.AbstractContextManager[Served]"]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served-model")
    return vlad_model(folder / "model", write_pictures(folder / "learnt", 8, seed=5), (16,))


@pytest.fixture
def start(tmp_path: Path, model: Path) -> Start:
    """Make a collection of one's own and serve it: `with start(upload_mb=1) as served`."""

    @contextlib.contextmanager
    def serving(**options) -> Iterator[Served]:
        from hashpipe.hashing.serve.run import listening

        workspace = tmp_path / "ws"
        if not workspace.exists():
            make_collection(tmp_path, model)
        with listening(workspace, ServeOptions(port=0, **options)) as told, client(told.url) as asking:
            yield Served(tmp_path / "photos", workspace, told, asking)

    return serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Served]:
    """One server for tests that change nothing."""
    from hashpipe.hashing.serve.run import listening

    folder = tmp_path_factory.mktemp("served")
    make_collection(folder, model)
    with listening(folder / "ws", ServeOptions(port=0)) as told, client(told.url) as asking:
        yield Served(folder / "photos", folder / "ws", told, asking)
