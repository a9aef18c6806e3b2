"""The house rules that can be read off the source: who may import whom, size of modules, no word of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("pairgen", "hashing", "cli")
MODULES = sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py"))
DOORS = {"photos", "jpegs", "vlad", "pairset", "verify", "errors", "files", "progress", "safe_pickle"}
MOST_LINES = 300

# package -> the only modules that may import it, relative to the repository
ONLY_IN = {
    "pycolmap": {"pairgen/colmap/adapter.py"},
    "open3d": {"pairgen/mapping/surface.py", "pairgen/synthetic/render.py"},
}
FORBIDDEN = {
    "pairgen": {"torch", "torchvision", "click", "hashpipe.hashing", "hashpipe.cli"},
    "hashing": {"pycolmap", "open3d", "click", "hashpipe.cli"},
    "cli": {"torch", "torchvision", "pycolmap", "open3d", "faiss", "sklearn", "scipy"},
}

# room of hashing -> the other rooms that it may borrow from; "" is the hall, modules that all of them share
BORROWS = {
    "": {"describing"},
    "describing": set(),
    "encoding": {"describing"},
    "learning": {"describing", "evaluate"},
    "evaluate": {"describing", "learning"},
    "indexing": set(),
    "calibrating": set(),
    "searching": {"calibrating", "encoding", "indexing"},
    "exporting": {"describing", "encoding"},
    "grouping": {"calibrating", "describing"},
    "serve": {"calibrating", "describing", "encoding", "grouping", "indexing", "searching"},
}


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports at any depth, as dotted names down to the imported name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_there_are_modules():
    assert len(MODULES) > 10


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_rooms_know_only_what_they_may(path):
    room = relative(path).split("/")[0]
    for name, line in imported(path):
        where = f"{relative(path)}:{line} imports {name}"
        assert not any(under(name, package) for package in FORBIDDEN[room]), where
        for package, allowed in ONLY_IN.items():
            assert not under(name, package) or relative(path) in allowed, where
        if room == "hashing" and under(name, "hashpipe.pairgen"):
            parts = name.split(".")
            assert len(parts) > 2, where
            assert parts[2] in DOORS, where


@pytest.mark.parametrize("path", [path for path in MODULES if relative(path).startswith("hashing/")], ids=relative)
def test_rooms_of_hashing_borrow_only_where_they_may(path):
    _, *inside = relative(path).split("/")
    own = inside[0] if len(inside) > 1 else ""
    if inside == ["__init__.py"]:  # the public names, of any room
        return
    assert own in BORROWS, f"{own} is a new room: say what it borrows from"
    for name, line in imported(path):
        if under(name, "hashpipe.hashing"):
            room = name.split(".")[2]
            room = room if (REPOSITORY / "hashing" / room).is_dir() else ""
            assert room in ("", own) or room in BORROWS[own], f"{relative(path)}:{line} imports {name}"


def test_zlib_comes_before_pycolmap():
    """pycolmap brings zlib symbols of its own, which damage the heap where they are loaded first."""
    for path in ONLY_IN["pycolmap"]:
        names = [name for name, _ in sorted(imported(REPOSITORY / path), key=lambda one: one[1])]
        assert "zlib" in names[: names.index("pycolmap")]


def test_options_import_nothing_heavy():
    heavy = ("torch", "torchvision", "open3d", "pycolmap", "numpy", "pyarrow", "scipy", "sklearn", "faiss", "PIL")
    files = [path for path in MODULES if path.name == "options.py"]
    assert files
    for path in files:
        assert not [name for name, _ in imported(path) if name.split(".")[0] in heavy], relative(path)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_pickle_is_read_in_one_guarded_place_only():
    for path in MODULES:
        names = {name.split(".")[0] for name, _ in imported(path)}
        assert not names & {"dill", "joblib", "shelve", "cloudpickle"}, relative(path)
        assert "pickle" not in names or path.name == "safe_pickle.py", relative(path)


def tracked_texts() -> Iterator[tuple[str, str]]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listing.stdout.splitlines():
        path = REPOSITORY / name
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".npz", ".npy", ".parquet", ".zip") and path.is_file():
            yield name, path.read_text(encoding="utf-8")


def test_no_file_names_a_place_on_one_machine():
    home = re.compile(r"(?<![\w.:/])/(?:" + "|".join(("work", "root", "home", "Users")) + r")/[\w.]")
    outside = re.compile(r"\.\./" + "shared")
    for name, text in tracked_texts():
        for number, line in enumerate(text.splitlines(), start=1):
            assert not home.search(line), f"{name}:{number}: {line.strip()}"
            assert not outside.search(line), f"{name}:{number}: {line.strip()}"
