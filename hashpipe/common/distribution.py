"""The name under which hashpipe is installed, its version, and the advice that names it."""

from __future__ import annotations

NAME = "hashpipe-photos"  # of the distribution; on the package index `hashpipe` is another project


def installed_version() -> str:
    """The version of this installation; "0+unknown" where it runs from files that were never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(NAME)
    except PackageNotFoundError:
        return "0+unknown"


def install_advice(extra: str) -> str:
    """The command that adds an extra, for messages; `hashpipe doctor` prints it with the paths of this installation."""
    return f"pip install '{NAME}[{extra}]' (in a clone: pip install '.[{extra}]')"
