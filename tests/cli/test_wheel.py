"""The wheel, installed in an environment of its own and used away from the clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from console import environment

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("hashpipe", "pairgen", "hashing", "cli", "data_manifests")
DATA = {".py", ".toml", ".html", ".css", ".js", ".svg"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing of an earlier build comes along."""
    copy = tmp_path_factory.mktemp("source") / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    for room in ROOMS:
        shutil.copytree(REPOSITORY / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment that holds the wheel; it borrows the dependencies of this one."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    # a path that a .pth file adds is not searched for .pth files: the editable install of the clone stays out
    (purelib / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([*install, "--disable-pip-version-check"], check=True)
    return home / "bin"


def test_holds_every_module_and_asset_and_nothing_else(wheel):
    expected = {
        "hashpipe/" * (room != "hashpipe") + path.relative_to(REPOSITORY).as_posix()
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*")
        if path.is_file() and (path.suffix in DATA or path.name == "py.typed")
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("LICENSE") for name in names)


def test_claims_one_name_and_works_outside_the_clone(installed, tmp_path):
    where = "import hashpipe.cli, importlib.util as u; print(hashpipe.cli.__file__, u.find_spec('cli'))"
    done = subprocess.run([installed / "python", "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True)
    file, other = done.stdout.split()
    assert Path(file).is_relative_to(installed.parent.resolve())
    assert other == "None"
    done = subprocess.run(
        [installed / "hashpipe", "--help"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert "pairs build" in done.stdout


@pytest.mark.slow
def test_every_module_imports_and_the_doctor_is_content(wheel, installed, tmp_path):
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py") and ".dist-info/" not in name]
    modules = sorted(name[:-3].replace("/", ".").removesuffix(".__init__") for name in names)
    code = f"import zlib, importlib\nfor name in {modules!r}: importlib.import_module(name)"
    for command in ([installed / "python", "-c", code], [installed / "hashpipe", "doctor"]):
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
