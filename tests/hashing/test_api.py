"""The documented Python code runs, and importing the package imports nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hashpipe
import hashpipe.hashing

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(0)
    for number in range(8):
        pixels = generator.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(tmp_path / "photos" / f"{number}.png")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert len(blocks) >= 4
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["packed"].shape == (8, 8)
    assert names["trained"].fingerprint in capsys.readouterr().out
    assert names["encoded"].codes.exists()
    assert names["nearest"][0] == names["codes"].paths[0]
    assert len(names["nearest"]) == 8


def test_the_page_lists_all_public_names():
    listed = PAGE.read_text(encoding="utf-8").partition("## Names")[2]
    assert {name for name in re.findall(r"`(\w+)`", listed) if name != "hashpipe"} == set(hashpipe.__all__) - {
        "__version__"
    }


@pytest.mark.parametrize("package", [hashpipe, hashpipe.hashing], ids=["hashpipe", "hashpipe.hashing"])
def test_names_are_there_and_importing_is_light(package):
    for name in set(package.__all__) - {"__version__"}:
        assert getattr(package, name).__name__ == name
    assert set(package.__all__) <= set(dir(package))
    heavy = ["torch", "faiss", "numpy", "scipy", "pyarrow", "matplotlib", "PIL"]
    code = f"import sys, {package.__name__}; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        hashpipe.nonsense  # noqa: B018
    assert hashpipe.__version__ == version("hashpipe-photos")
