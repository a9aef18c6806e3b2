"""The benchmark manifests: one TOML file each, shipped with the package."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hashpipe.common.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOWNLOADS = ("automatic", "by hand", "built in")


@dataclass(frozen=True)
class File:
    """One file that a benchmark is made of. bytes 0 and checksum "" where none is published.

    checksum    "md5:HEX" or "sha256:HEX"
    about       size in words where it is not published exactly
    unpack      folder, relative to the benchmark's root, that an archive is unpacked to; "" keeps it as it is
    """

    name: str
    url: str
    bytes: int = 0
    checksum: str = ""
    about: str = ""
    unpack: str = ""
    note: str = ""


@dataclass(frozen=True)
class Manifest:
    """Everything known of a benchmark before its files are seen; `protocols` hold the parameters that readers use."""

    name: str
    title: str
    what: str
    home: str
    licence: str
    terms: str
    citation: str
    layout: str
    download: str
    tree: str
    protocols: tuple[dict[str, Any], ...]
    files: tuple[File, ...] = ()
    steps: tuple[str, ...] = ()
    pitfalls: tuple[str, ...] = ()

    def protocol(self, name: str) -> dict[str, Any]:
        """One protocol's table, the first for an empty name."""
        for table in self.protocols:
            if name in ("", table["name"]):
                return table
        known = ", ".join(f"{self.name}/{table['name']}" for table in self.protocols)
        raise UserError(f"There is no protocol {self.name}/{name}; choose from {known}.")

    def as_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return asdict(self)


@cache
def all_manifests() -> dict[str, Manifest]:
    """All manifests by name, in order of name."""
    folder = resources.files("hashpipe.data_manifests")
    found = [_parse(one.read_text(encoding="utf-8")) for one in folder.iterdir() if one.name.endswith(".toml")]
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def find_manifest(name: str) -> Manifest:
    """The manifest of a benchmark; a UserError names near misses."""
    known = all_manifests()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
    raise UserError(f"There is no benchmark {name!r}; {hint}")


def _parse(text: str) -> Manifest:
    content = tomllib.loads(text)
    files = tuple(File(**one) for one in content.pop("files", []))
    protocols = tuple(content.pop("protocols"))
    lists: dict[str, Any] = {key: tuple(content.pop(key, ())) for key in ("steps", "pitfalls")}
    return Manifest(files=files, protocols=protocols, **lists, **content)
