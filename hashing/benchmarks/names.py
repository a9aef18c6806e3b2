"""Names of benchmarks as users write them, checked before any work. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from hashpipe.common.errors import UserError


def check_name(text: str) -> None:
    """Raise UserError for a benchmark `NAME` or protocol `NAME/PROTOCOL` that there is not, naming near ones."""
    from hashpipe.hashing.benchmarks.manifests import find_manifest

    name, _, protocol = text.partition("/")
    find_manifest(name).protocol(protocol.removesuffix("-subset"))


def check_files(text: str | None, root: Path | None) -> None:
    """Raise UserError for a benchmark that there is not, for one without its files, and for files without one."""
    if text is not None:
        check_name(text)
    if text is not None and root is None:
        raise UserError(f"--benchmark {text} needs its files; name them with --root PATH.")
    if text is None and root is not None:
        raise UserError("--root belongs to a benchmark; name it with --benchmark, or omit --root.")
