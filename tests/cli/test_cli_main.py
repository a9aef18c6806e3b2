"""Help, version, exit codes and start-up of the console script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from console import SCRIPT

from hashpipe.cli import main

HEAVY = {"torch", "torchvision", "open3d", "pycolmap", "numpy", "pyarrow", "scipy", "sklearn", "faiss", "PIL", "rich"}


def commands(group=main.hashpipe, prefix=()) -> list[tuple[str, ...]]:
    """Every command that exists, groups included."""
    found = [prefix]
    for name in group.table:
        command = group.get_command(None, name)
        below = (*prefix, name)
        found += commands(command, below) if isinstance(command, main.LazyGroup) else [below]
    return found


def test_version(hashpipe):
    done = hashpipe("--version")
    assert (done.returncode, done.stdout) == (0, f"hashpipe, version {version('hashpipe-photos')}\n")


@pytest.mark.parametrize("command", commands(), ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_everywhere(hashpipe, command, flag):
    done = hashpipe(*command, flag)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {' '.join(['hashpipe', *command])} ")
    assert done.stderr == ""


def groups(group=main.hashpipe) -> list[main.LazyGroup]:
    below = [group.get_command(None, name) for name in group.table]
    return [group, *(found for one in below if isinstance(one, main.LazyGroup) for found in groups(one))]


def test_listed_help_is_about_that_command():
    """The one line that groups keep, so that they need not import commands, has not drifted away from the command."""
    for group in groups():
        for name, (_, text) in group.table.items():
            command = group.get_command(None, name)
            assert command.name == name
            assert len(text) <= 70
            assert text.endswith(".")
            assert text.split()[0].strip(",") == command.help.split()[0].strip(",") or text in command.help


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_imports_nothing_heavy(command):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", SCRIPT, *command, "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "click" in imported
    assert not imported & HEAVY


def test_no_command_shows_help(hashpipe):
    done = hashpipe()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("piars",), "did you mean `hashpipe pairs`?"),
        (("pairs", "biuld"), "did you mean `hashpipe pairs build`?"),
        (("frobnicate",), "choose one of pairs, train"),
        (("doctor", "--jsno"), "--json"),
        (("--versoin",), "--version"),
        (("pairs", "build"), "PHOTOS is missing; write `hashpipe pairs build PHOTOS`"),
    ],
)
def test_slips_name_what_was_meant(refused, arguments, expected):
    assert expected in refused(*arguments)


def test_user_error_is_one_sentence(hashpipe, tmp_path):
    done = hashpipe("pairs", "check")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"hashpipe: .*hashpipe-workspace is not a hashpipe workspace; .* with `.*`\.\n", done.stderr)


def test_traceback_on_request(hashpipe):
    done = hashpipe("pairs", "check", HASHPIPE_DEBUG="1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_workspace_from_environment(hashpipe, tmp_path):
    done = hashpipe("pairs", "check", HASHPIPE_WORKSPACE=str(tmp_path / "elsewhere"))
    assert "elsewhere is not a hashpipe workspace" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_full_disk_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run([SCRIPT, "--version"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("hashpipe: no space left on device; free some space")
    assert len(done.stderr.splitlines()) == 1


def test_reader_that_leaves_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([SCRIPT, "--help"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141
