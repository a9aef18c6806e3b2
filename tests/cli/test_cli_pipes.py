"""Standard streams that are closed, full, or read by nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from console import SCRIPT, environment
from small_models import vlad_model, workspace_with, write_pictures

from hashpipe.common.files import open_workspace


@pytest.fixture
def workspace(tmp_path) -> Path:
    folder = open_workspace(tmp_path / "ws", create=True)
    (folder / "descriptors").mkdir()
    (folder / "descriptors" / "a.npy").write_bytes(b"x" * 1000)
    return folder


def shell(line: str, workspace: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash: $H is the command, $W the workspace. The exit code is that of the first command of a pipe."""
    variables = environment(H=str(SCRIPT), W=str(workspace))
    variables.pop("PYTHONUNBUFFERED", None)  # with it the list of what is there breaks the pipe before anything is done
    command = ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, cwd=workspace.parent)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_command_works_with_any_of_its_streams_closed(workspace, closed):
    done = shell(f"$H clean --yes -w $W {closed}", workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (workspace / "descriptors").exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_refusal_keeps_its_exit_code(workspace, closed):
    done = shell(f"$H pairs check -w $W {closed}", workspace)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert shell(f"$H clean --nonsense {closed}", workspace).returncode == 2


@pytest.mark.parametrize(
    "line",
    [
        "$H clean --yes -w $W | true",
        "$H clean --json --yes -w $W | true",
        "$H --help | true",
        "$H pairs --help | true",
        "$H clean --yes -w $W 2>&1 | true",
    ],
)
def test_a_reader_that_leaves_is_no_error(workspace, line):
    done = shell(line, workspace)
    assert done.returncode in (0, 141)  # 0 where the reader was slower than we
    assert done.stderr == ""
    if "clean" in line:
        assert not (workspace / "descriptors").exists()


def test_nobody_reads_stderr(workspace):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([SCRIPT, "pairs", "check", "-w", workspace], stderr=writer, env=environment())
    os.close(writer)
    assert done.returncode == 2


def test_a_pipe_without_a_reader_from_the_beginning(workspace):
    reader, writer = os.pipe()
    os.close(reader)
    command = [SCRIPT, "clean", "--json", "--yes", "-w", workspace]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment())
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    assert not (workspace / "descriptors").exists()


def test_the_first_files_that_a_command_opens_never_become_its_streams(tmp_path):
    """COLMAP writes messages to number 2; a database that has this number takes them as content."""
    program = """
import json, os, sys
from hashpipe.cli import streams
streams.open_closed()
opened = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(2, b"a message of COLMAP's")
print("works"), print("works", file=sys.stderr)
os.write(opened, json.dumps([opened, os.get_inheritable(2), sys.stdin.read()]).encode())
"""
    (tmp_path / "program.py").write_text(program)
    line = f"{sys.executable} {tmp_path}/program.py {tmp_path}/file <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line]).returncode == 0
    number, inheritable, read = json.loads((tmp_path / "file").read_text())
    assert number > 2
    assert inheritable
    assert read == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize("stream", [">", "2>"])
def test_output_onto_a_full_disk(workspace, stream):
    done = shell(f"$H clean --yes -w $W {stream} /dev/full", workspace)
    assert not (workspace / "descriptors").exists()
    if stream == ">":
        assert done.returncode == 2
        assert done.stderr.startswith("hashpipe: no space left on device; free some space")
        assert len(done.stderr.splitlines()) == 1
    else:
        assert done.returncode == 0


@pytest.mark.parametrize(("arguments", "said"), [("encode -", "photo"), ("index remove -", "Nothing to remove")])
def test_a_list_from_a_closed_stdin_is_an_empty_list(tmp_path, arguments, said):
    pictures = write_pictures(tmp_path / "photos", 4)
    model = workspace_with(tmp_path / "ws", vlad_model(tmp_path / "vlad" / "model", pictures))
    done = shell(f"$H {arguments} -w $W <&-", model)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("hashpipe: ")
    assert said in done.stderr
