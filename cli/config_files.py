"""Configuration files: TOML with one table for each stage."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.text import read_text

SECTIONS = (
    "pairs.build",
    "train",
    "adapt",
    "encode",
    "eval",
    "demo",
    "index.build",
    "search",
    "calibrate",
    "groups",
    "export.codes",
    "export.onnx",
    "serve",
)  # tables that a configuration file may hold


def read_section(config: Path, section: str) -> dict[str, Any]:
    """One table of a configuration file, keys with underscores; {} where the file does not have it."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content = tomllib.loads(read_text(config, f"--config {config}"))
    except (ValueError, RecursionError) as error:  # no TOML, numbers of thousands of digits, lists in lists
        raise UserError(f"--config {config} is not valid TOML ({error}); correct it there.") from None
    _check_sections(config, content)
    for name in section.split("."):
        content = content.get(name, {})
    return {key.replace("-", "_"): value for key, value in content.items()}


def _check_sections(config: Path, content: Mapping[str, Any], above: str = "") -> None:
    for name, value in content.items():
        path = f"{above}{name}"
        if path in SECTIONS and isinstance(value, dict):
            continue
        if isinstance(value, dict) and any(section.startswith(f"{path}.") for section in SECTIONS):
            _check_sections(config, value, f"{path}.")
            continue
        near = difflib.get_close_matches(path, SECTIONS, n=3)
        hint = f"did you mean {' or '.join(f'[{name}]' for name in near)}?" if near else f"tables are {_tables()}."
        kind = f"table [{path}]" if isinstance(value, dict) else f"key {path!r} outside a table"
        raise UserError(f"{config}: unknown {kind}; {hint}")


def _tables() -> str:
    return ", ".join(f"[{section}]" for section in SECTIONS)
