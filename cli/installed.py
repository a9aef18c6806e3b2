"""What of the declared dependencies is installed, of which version, and whether it can be imported."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from hashpipe.common.distribution import NAME

# Packages that link to system libraries or to one another are imported for trial, each in a process of its own,
# because some of their failures end the process. The line prints what is worth knowing about the package.
_TRIALS = {
    "pycolmap": "import zlib, pycolmap; print('with CUDA' if pycolmap.has_cuda else '')",
    "open3d": "import open3d; print('')",
    "faiss-cpu": "import faiss; print('')",
    "torch": "import torch; print(', '.join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))",
    "torchvision": "import torchvision; print('')",
    "scikit-learn": "import sklearn.cluster; print('')",
    "pyarrow": "import pyarrow.parquet; print('')",
    "matplotlib": "import matplotlib.figure; print('')",
}
_SYSTEM_PACKAGES = {
    "libusb-1.0": "libusb-1.0-0",
    "libGL.so": "libgl1",
    "libEGL.so": "libegl1",
    "libX11.so": "libx11-6",
    "libudev.so": "libudev1",
    "libgomp.so": "libgomp1",
    "libvulkan.so": "libvulkan1 mesa-vulkan-drivers",
}
_TRIAL_SECONDS = 180


@dataclass(frozen=True)
class Package:
    """One declared dependency. `state` is ok, missing, wrong version or broken; `fix` a command, "" where ok."""

    name: str
    needs: str
    version: str | None
    state: str
    problem: str = ""
    fix: str = ""
    note: str = ""


def core_packages() -> list[Package]:
    """Every package that hashpipe cannot do without, tried out where a trial can tell more than its version."""
    checked = [_look_up(requirement) for requirement, extra in _requirements() if not extra]
    trials = [package.name for package in checked if package.state == "ok" and package.name in _TRIALS]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        outcome = dict(zip(trials, pool.map(_try_import, trials), strict=True))
    return [_with_trial(package, *outcome[package.name]) if package.name in outcome else package for package in checked]


def optional_parts() -> dict[str, list[Package]]:
    """The packages of every extra that hashpipe declares."""
    parts: dict[str, list[Package]] = {}
    for requirement, extra in _requirements():
        if extra:
            parts.setdefault(extra, []).append(_look_up(requirement))
    return parts


def install_command(extra: str) -> str:
    """The command that adds an extra to this very installation."""
    try:
        url = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:  # it runs from files that were never installed
        url = {}
    if "dir_info" in url:
        option = "-e " if url["dir_info"].get("editable") else ""
        return f"{_python()} -m pip install {option}'{unquote(urlparse(url['url']).path)}[{extra}]'"
    source = f" @ {url['url']}" if "url" in url else ""
    return f"{_python()} -m pip install '{NAME}[{extra}]{source}'"


def _requirements() -> list[tuple[str, str]]:
    """(requirement, extra or "") of this installation, those for other Python versions left out."""
    found = []
    for text in _declared():
        requirement, _, marker = (part.strip() for part in text.partition(";"))
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        if _for_this_python(marker) and not requirement.startswith(f"{NAME}["):  # an extra made of other extras
            found.append((requirement, extra.group(1) if extra else ""))
    return found


def _declared() -> list[str]:
    try:
        return metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return []


def _for_this_python(marker: str) -> bool:
    bound = re.search(r"python_version\s*(<|>=)\s*['\"](\d+)\.(\d+)['\"]", marker)
    if bound is None:
        return True
    below = sys.version_info[:2] < (int(bound.group(2)), int(bound.group(3)))
    return below if bound.group(1) == "<" else not below


def _look_up(requirement: str) -> Package:
    name, needs = (part.strip() for part in re.fullmatch(r"([\w.-]+)(?:\[.*?\])?(.*)", requirement).groups())  # type: ignore[union-attr]
    fix = f"{_python()} -m pip install '{requirement}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Package(name, needs, None, "missing", "not installed", fix)
    if not _satisfies(version, needs):
        return Package(name, needs, version, "wrong version", f"{version} does not meet {needs}", fix)
    return Package(name, needs, version, "ok")


def _satisfies(version: str, needs: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet  # comes with matplotlib
    except ImportError:
        return True
    return SpecifierSet(needs).contains(version, prereleases=True)


def _try_import(name: str) -> tuple[str, str]:
    """(problem, note) of importing a package in a process of its own; problem is "" where it worked."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIALS[name]],
            capture_output=True,
            text=True,
            timeout=_TRIAL_SECONDS,
            cwd="/",  # no folder whose files could be taken for packages
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        return str(error), ""
    if done.returncode == 0:
        return "", done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    lines = done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"]
    return lines[-1], ""


def _with_trial(package: Package, problem: str, note: str) -> Package:
    if not problem:
        return Package(package.name, package.needs, package.version, "ok", note=note)
    library = next((packages for library, packages in _SYSTEM_PACKAGES.items() if library in problem), None)
    if library:
        fix = f"apt-get install -y {library}"
    elif package.name in ("torch", "torchvision"):  # each torchvision is built for exactly one torch
        fix = f"{_python()} -m pip install --upgrade --force-reinstall torch torchvision"
    else:
        fix = f"{_python()} -m pip install --force-reinstall '{package.name}{package.needs}'"
    return Package(package.name, package.needs, package.version, "broken", problem, fix)


def _python() -> str:
    executable = Path(sys.executable)
    with_home = Path.cwd()
    return str(executable.relative_to(with_home)) if executable.is_relative_to(with_home) else str(executable)
