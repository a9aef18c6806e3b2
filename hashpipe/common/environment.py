"""What a result was made with: versions and hardware."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hashpipe.common.distribution import installed_version

PACKAGES = ("torch", "torchvision", "numpy", "faiss-cpu", "pillow")


def environment(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Versions of installed packages by name (None where absent), Python, system, processor, cores, GPU.

    The GPU is what torch sees where torch has been imported; nothing heavy is imported here.
    """
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": cores(),
        "gpu": _gpu(),
        "hashpipe": installed_version(),
        **{package: package_version(package) for package in packages},
    }


def package_version(package: str) -> str | None:
    """The version of an installed distribution, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@contextmanager
def home_named() -> Iterator[None]:
    """Give an account without a home folder a name for one, for libraries that end without; nothing can be made there.

    In containers that run under a bare number there may be neither HOME nor an entry in passwd.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull  # nothing can be made below it
        try:
            yield
        finally:
            os.environ.pop("HOME", None)
    else:
        yield


def _gpu() -> str | None:
    torch: Any = sys.modules.get("torch")
    return torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else None
