"""Photos are described, encoded and searched for by a network without COLMAP being loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_models import network_model, workspace_with, write_pictures

ENCODE = """
from hashpipe.hashing.encoding.encode import EncodeOptions, encode
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.search import search
encode(pictures, workspace, EncodeOptions(runtime="torch", bits=16))
build_index([], workspace, IndexOptions())
assert search([str(pictures / "001.png")], workspace, SearchOptions(runtime="torch", k=1)).hits[0][0].distance == 0
"""
DESCRIBE = """
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.models.network import load_model
model = load_model(workspace / "model", "cpu")
assert model.describer.describe(from_folder_or_list(pictures)).ok.all()
"""
GROUPS = "import hashpipe.hashing.duplicates.groups"
LOADED = "assert 'pycolmap' not in sys.modules, 'pycolmap is loaded'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("network")
    write_pictures(made / "pictures", 3)
    workspace_with(made / "ws", network_model(made / "network" / "model"))
    return made


@pytest.mark.parametrize("work", [ENCODE, DESCRIBE, GROUPS], ids=["encode and search", "describe", "groups"])
def test_a_network_needs_no_colmap(folder, work):
    where = f"import sys; from pathlib import Path; pictures, workspace = Path({str(folder)!r}) / 'pictures', "
    script = f"{where}Path({str(folder)!r}) / 'ws'\n{work}\n{LOADED}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
