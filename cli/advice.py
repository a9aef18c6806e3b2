"""Commands that a sentence advises, with the workspace that the user named: they can be copied as they stand."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hashpipe.common import journal
from hashpipe.common.paths import expanded

KEY = "hashpipe.workspace"  # in a context's meta: the workspace, where it is not the default
_NEW = "hashpipe.new"  # the workspace, where it did not exist before the command
_UNLOGGED = {"search", "serve", "status", "clean", "show", "check", "info"}  # commands that look, or often run
_COMMAND = re.compile(r"(?<! as )`hashpipe ([^`]+)`")
_NEXT = re.compile(r"(?m)^next: hashpipe (.+?)(?=  \(|$)")
_WITHOUT = ("benchmarks", "demo", "doctor", "methods")  # commands that have no workspace
_GROUPS = ("pairs", "index", "export")
_NAMED = {"-w", "--workspace", "-h", "--help", "--resume", "--compare"}


def remember(context: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """Callback of `-w`: keep the folder for sentences, where the user named one, and for the log of the command."""
    folder = expanded(value).absolute()
    if not folder.exists():
        context.meta[_NEW] = folder
    if context.info_name not in _UNLOGGED:
        line = context.find_root().obj
        journal.begin(folder, f"hashpipe {line}" if line else context.command_path)
    if context.get_parameter_source(parameter.name or "") is not click.core.ParameterSource.DEFAULT:
        context.meta[KEY] = value
    return value


def remove_empty_workspace(context: click.Context) -> None:
    """Remove the workspace that a command which failed has made and left empty."""
    if folder := context.meta.get(_NEW):
        from hashpipe.common.files import remove_if_empty

        remove_if_empty(folder)


def named(text: str, meta: Mapping[str, Any] | None = None) -> str:
    """`text` with `-w FOLDER` in every command that reads a workspace, between backticks or after `next: `.

    meta: of a context; without it that of the running command. The default folder is not named.
    """
    if meta is None:
        context = click.get_current_context(silent=True)
        meta = {} if context is None else context.meta
    folder = meta.get(KEY)
    if folder is None:
        return text
    text = _NEXT.sub(lambda match: f"next: hashpipe {_with(match[1], folder)}", text)
    return _COMMAND.sub(lambda match: f"`hashpipe {_with(match[1], folder)}`", text)


def _with(command: str, folder: Path) -> str:
    words = command.split()
    bare_group = words[0] in _GROUPS and len(words) == 1
    if words[0] in _WITHOUT or bare_group or _NAMED & set(words):
        return command
    return f"{command} -w {shlex.quote(str(folder))}"


def meant(word: str, tables: Mapping[str, list[str]], prefix: str) -> list[str]:
    """Commands that a word which is none may stand for, nearest first: those of this group, then those of groups in it.

    tables: names of commands by group, "" for the group itself. Exact names in other groups come before near ones.
    """
    own = list(tables[""])
    inside = [(group, name) for group, names in tables.items() if group for name in names]
    found = [f"{group} {name}" for group, name in inside if name == word]
    if not found:
        found = difflib.get_close_matches(word, own, n=3)
    if not found:
        near = difflib.get_close_matches(word, [name for _, name in inside], n=2)
        found = [f"{group} {name}" for group, name in inside if name in near]
    return [f"`{prefix} {one}`" for one in found]
