"""Names of benchmarks as users write them, checked before any work. Imports nothing heavy."""

from __future__ import annotations


def check_name(text: str) -> None:
    """Raise UserError for a benchmark `NAME` or protocol `NAME/PROTOCOL` that there is not, naming near ones."""
    from hashpipe.hashing.benchmarks.manifests import find_manifest

    name, _, protocol = text.partition("/")
    find_manifest(name).protocol(protocol.removesuffix("-subset"))
