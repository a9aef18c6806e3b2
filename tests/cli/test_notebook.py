"""docs/quickstart.ipynb is the quickstart, and all its cells run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from console import SCRIPT, environment

nbformat = pytest.importorskip("nbformat", reason="pip install '.[dev]'")

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_notebook_is_current():
    done = subprocess.run([sys.executable, DOCS / "notebook.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    book = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    nbformat.validate(book)
    sources = [cell.source for cell in book.cells if cell.cell_type == "code"]
    assert sources[:3] == ["%%bash -e\nhashpipe demo", "%cd hashpipe-demo", "%env HASHPIPE_WORKSPACE=workspace"]
    assert not [source for source in sources if "serve" in source]


@pytest.mark.slow
def test_all_cells_run(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="pip install '.[dev]'")
    pytest.importorskip("ipykernel", reason="pip install '.[dev]'")
    for name, value in environment(PATH=f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}").items():
        monkeypatch.setenv(name, value)
    book = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    client = nbclient.NotebookClient(book, timeout=1500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises for the first cell that fails
    assert (tmp_path / "hashpipe-demo" / "workspace" / "adapted" / "model.safetensors").exists()
    printed = "".join(
        output.get("text", "") for cell in book.cells for output in cell.get("outputs", ()) if "text" in output
    )
    assert "Places" in printed
    assert "Suggested radius" in printed
