"""`hashpipe serve` as a user starts and stops it."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from console import SCRIPT, default_signals, environment
from small_models import vlad_model, workspace_with, write_pictures

from hashpipe.hashing.codes.codes_file import CodeSet, write_codes
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.encoding.encode import open_encoder
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions

pytest.importorskip("fastapi", reason="the page needs fastapi: pip install '.[serve]'")
httpx = pytest.importorskip("httpx", reason="the page is asked with httpx: pip install httpx")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli-serve")
    pictures = write_pictures(folder / "photos", 5)
    model = vlad_model(folder / "model", pictures, (16,))
    encoder = open_encoder(model)
    names = tuple(sorted(path.name for path in pictures.iterdir()))
    found = encoder.outputs(from_folder_or_list(pictures))
    workspace = workspace_with(folder / "ws", model)
    codes = encoder.codes(found.u)
    write_codes(
        workspace / "codes.parquet",
        CodeSet(encoder.space, np.arange(5), names, names, codes, found.quality, str(pictures)),
    )
    build_index([], workspace, IndexOptions())
    return workspace


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_start_ask_and_stop(workspace, sent, code):
    server = subprocess.Popen(
        [SCRIPT, "serve", "-w", workspace, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=default_signals,
    )
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            line = server.stdout.readline()
            assert line, server.stderr.read()
            text += line
        told = json.loads(text)
        assert told["photos"] == 5
        photo = (workspace.parent / "photos" / "003.png").read_bytes()
        answer = httpx.post(f"{told['url']}api/search", files={"photo": photo}, trust_env=False, timeout=60).json()
        assert (answer["results"][0]["name"], answer["results"][0]["distance"]) == ("003.png", 0)
        server.send_signal(sent)
        rest, complaints = server.communicate(timeout=30)
    finally:
        server.kill()
    assert (server.returncode, rest) == (code, "")
    assert "Traceback" not in complaints


def parent_of(stat: Path) -> int:
    try:
        return int(stat.read_text().rsplit(")", 1)[1].split()[1])
    except OSError:  # it has just ended
        return -1


@pytest.mark.slow
def test_a_killed_server_leaves_no_process_behind(workspace):
    command = [SCRIPT, "serve", "-w", workspace, "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        lines = iter(server.stdout.readline, "")
        told = json.loads("".join([*itertools.takewhile(lambda line: line.rstrip() != "}", lines), "}"]))
        photo = (workspace.parent / "photos" / "003.png").read_bytes()
        httpx.post(f"{told['url']}api/search", files={"photo": photo}, trust_env=False, timeout=60).raise_for_status()
        (worker,) = [path.parent for path in Path("/proc").glob("[0-9]*/stat") if parent_of(path) == server.pid]
    finally:
        server.kill()
        server.wait()
    until = time.monotonic() + 10
    while worker.exists() and "State:\tZ" not in (worker / "status").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_port_in_use(workspace, refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} of 127.0.0.1 is in use" in refused("serve", "-w", workspace, "--port", port)


def test_nothing_to_serve(refused, tmp_path):
    assert "not a hashpipe workspace" in refused("serve", "-w", tmp_path / "none", "--port", 0)


def test_help_is_quick(hashpipe):
    heavy = "[name for name in ('fastapi', 'numpy', 'torch', 'PIL') if name in sys.modules]"
    heavy = f"import sys; from hashpipe.cli import serve; print({heavy})"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, env=environment())
    assert done.stdout.strip() == "[]", done.stderr
    assert "--port" in hashpipe("serve", "--help").stdout
