"""The name of the distribution stands in one place, and every advice to install an extra comes from there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from hashpipe.common import distribution

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_name_is_that_of_the_project_file():
    assert PROJECT["name"] == distribution.NAME
    assert list(PROJECT["scripts"]) == ["hashpipe"]


def test_no_file_advises_the_package_of_somebody_else():
    """`hashpipe` on the package index is another project."""
    other = re.compile(r"pip install (?:[^\n]*['\" ])?hashpipe(?![-\w./])")
    extras = re.compile(r"['\"]hashpipe\[")
    files = [
        path for name in ("hashpipe", "pairgen", "hashing", "cli", "docs") for path in (REPOSITORY / name).rglob("*")
    ]
    files += [*REPOSITORY.glob("*.md"), REPOSITORY / "pyproject.toml", REPOSITORY / "Makefile"]
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in files
        if path.suffix in (".py", ".md", ".toml", "") and path.is_file()
    }
    assert len(texts) > 300
    assert [path.name for path, text in texts.items() if other.search(text) or extras.search(text)] == []
    assert other.search("pip install hashpipe")
    assert extras.search("pip install 'hashpipe[onnx]'")


def test_every_advised_extra_exists():
    advised = {
        name
        for folder in ("hashpipe", "pairgen", "hashing", "cli")
        for path in (REPOSITORY / folder).rglob("*.py")
        for name in re.findall(r"install_advice\('(\w+)'\)", path.read_text(encoding="utf-8"))
    }
    assert {"onnx", "serve", "heif"} <= advised <= set(PROJECT["optional-dependencies"])
    assert distribution.install_advice("onnx") == (
        "pip install 'hashpipe-photos[onnx]' (in a clone: pip install '.[onnx]')"
    )


def test_files_that_were_never_installed_have_no_version(monkeypatch):
    monkeypatch.setattr(distribution, "NAME", "no-such-distribution")
    assert distribution.installed_version() == "0+unknown"
