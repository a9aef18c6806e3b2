"""The house rules that can be read off the source: who may import whom, size of modules, no word of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOTS = ("hashpipe", "pairgen", "hashing", "cli")
MODULES = sorted(path for root in ROOTS for path in (REPOSITORY / root).rglob("*.py"))
DOORS = {
    "photos.files",
    "photos.find",
    "photos.load",
    "photos.jpegs",
    "photos.plausible",
    "photos.same",
    "matching.vlad",
    "pairs.pairset",
    "pairs.verify",
}
MOST_LINES = 250

# package -> the only modules that may import it, relative to the repository
ONLY_IN = {
    "pycolmap": {"pairgen/colmap/adapter.py"},
    "open3d": {"pairgen/mapping/surface.py", "pairgen/synthetic/render.py"},
}
FORBIDDEN = {
    "hashpipe": {"torch", "torchvision", "pycolmap", "open3d", "click", "hashpipe.cli"},
    "pairgen": {"torch", "torchvision", "click", "hashpipe.hashing", "hashpipe.cli"},
    "hashing": {"pycolmap", "open3d", "click", "hashpipe.cli"},
    "cli": {"torch", "torchvision", "pycolmap", "open3d", "faiss", "sklearn", "scipy"},
}

# The rooms of each house from the lowest to the highest: a room imports from those before it alone.
ORDER = {
    "pairgen": ["photos", "colmap", "matching", "mapping", "ambiguity", "pairs", "report", "formats", "synthetic"],
    "hashing": [
        *("data", "features", "codes", "models", "baselines", "metrics", "benchmarks", "training", "evaluation"),
        *("encoding", "calibration", "search", "duplicates", "curation", "export", "workspace", "serve", "python"),
    ],
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


def name_of(path: Path) -> str:
    """The dotted name that a file is imported by."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts if parts[0] == "hashpipe" else ("hashpipe", *parts)).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


def modules_imported(path: Path) -> set[str]:
    """Those of our modules that a file imports, for types alone or not."""
    found = set()
    for name, _ in imported(path):
        while name and name not in NAMES:
            name = name.rpartition(".")[0]
        if name:
            found.add(name)
    return found - {"hashpipe", name_of(path)}


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


@pytest.mark.parametrize("path", [path for path in MODULES if relative(path).startswith("hashing/")], ids=relative)
def test_hashing_enters_pairgen_by_few_doors(path):
    for name in modules_imported(path):
        assert not under(name, "hashpipe.pairgen") or name.removeprefix("hashpipe.pairgen.") in DOORS, name


@pytest.mark.parametrize(
    "path", [path for path in MODULES if len(path.relative_to(REPOSITORY).parts) > 2], ids=relative
)
def test_rooms_import_from_lower_rooms_alone(path):
    house, room = path.relative_to(REPOSITORY).parts[:2]
    if house not in ORDER:
        return
    order = ORDER[house]
    assert room in order, f"{house}/{room} is a new room: say where it stands"
    for name in modules_imported(path):
        parts = name.split(".")
        if parts[1] == house and len(parts) > 2 and parts[2] in order:
            assert order.index(parts[2]) <= order.index(room), f"{relative(path)} imports {name}, which lies above"


def test_hashing_has_no_modules_outside_its_rooms():
    assert [path.name for path in (REPOSITORY / "hashing").glob("*.py")] == ["__init__.py"]


def test_no_modules_import_each_other_in_a_circle():
    """Also not for types, and not inside functions."""
    left = {name: modules_imported(path) for name, path in NAMES.items() if path.name != "__init__.py"}
    while leaves := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in leaves:
            del left[name]
    assert not left, f"circles among {sorted(left)}"


def test_every_package_is_listed_for_the_wheel():
    """setuptools finds no packages by itself where folders are mapped to other names."""
    listed = re.search(r"\npackages = \[(.*?)\]", (REPOSITORY / "pyproject.toml").read_text(), re.DOTALL)
    assert listed is not None
    packages = {name for name, path in NAMES.items() if path.name == "__init__.py"} | {"hashpipe.data_manifests"}
    assert set(re.findall(r'"([\w.]+)"', listed[1])) == packages


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
