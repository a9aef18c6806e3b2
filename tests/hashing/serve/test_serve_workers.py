"""Uploads in processes of their own: what a crash, a hang and a killed server leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import Served, jpeg
from starlette.exceptions import HTTPException
from test_serve_refusals import goes_on, refused
from unlucky import SPACE, pid_of, unlucky

from hashpipe.hashing.encoding import runtimes
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.workers import COMMAND, Workers


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process has ended, or does so soon."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [(b"crash", 422, "crashed"), (b"nonsense", 422, "crashed"), (b"raise", 422, "crashed"), (b"hang", 504, "longer")],
)
def test_a_photo_that_its_process_does_not_survive(tmp_path, content, status, words):
    workers = unlucky(tmp_path, seconds=0.5 if content == b"hang" else 20)
    try:
        first = pid_of(workers)
        assert pid_of(workers) == first  # it is kept
        with pytest.raises(HTTPException) as error:
            workers(SPACE, content)
        assert error.value.status_code == status
        assert words in error.value.detail
        assert gone(first)
        assert pid_of(workers) != first  # another one has taken its place
    finally:
        workers.close()


def test_a_process_that_was_killed_is_not_the_photos_fault(tmp_path, monkeypatch):
    """Another process tries once more; a photo that ends both is refused, and no third one tries."""
    workers = unlucky(tmp_path)
    started: list[object] = []
    begin = workers._start
    monkeypatch.setattr(workers, "_start", lambda: started.append(None) or begin())
    try:
        first = pid_of(workers)
        answered = int(workers(SPACE, f"once {tmp_path / 'killed'}".encode()).code.tobytes())
        assert (tmp_path / "killed").exists()
        assert gone(first)
        assert answered != first
        assert pid_of(workers) == answered
        before = len(started)
        with pytest.raises(HTTPException) as error:
            workers(SPACE, b"crash")
        assert error.value.status_code == 422
        assert len(started) == before + 1
    finally:
        workers.close()


def test_a_refusal_costs_no_process_and_a_process_that_died_idle_no_photo(tmp_path):
    workers = unlucky(tmp_path)
    try:
        first = pid_of(workers)
        with pytest.raises(HTTPException) as error:
            workers(SPACE, b"text")
        assert (error.value.status_code, error.value.detail) == (415, "This file is not a photo.")
        assert pid_of(workers) == first
        os.kill(first, signal.SIGKILL)
        assert pid_of(workers) != first
    finally:
        workers.close()


def test_processes_that_are_not_needed_any_more_are_ended_but_for_one(tmp_path):
    workers = unlucky(tmp_path, most=2, idle=0.5)
    try:
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(workers, SPACE, b"slow") for _ in range(2)]
            pids = {int(one.result().code.tobytes()) for one in both}
        assert len(pids) == 2
        last = pid_of(workers)
        (other,) = pids - {last}
        assert gone(other)
        time.sleep(0.6)
        assert pid_of(workers) == last
    finally:
        workers.close()


def test_a_process_that_does_not_start(tmp_path):
    workers = Workers(tmp_path, ServeOptions(), 1, command=(sys.executable, "-c", "raise SystemExit(3)"))
    for _ in range(2):  # and the place in the line is free again
        with pytest.raises(HTTPException) as error:
            workers(SPACE, b"photo")
        assert error.value.status_code == 500
        assert "does not start" in error.value.detail
    workers.close()


def test_the_end_of_the_server_ends_all_processes(tmp_path):
    workers = unlucky(tmp_path, most=2)
    idle = pid_of(workers)
    with ThreadPoolExecutor(2) as threads:
        busy = threads.submit(workers, SPACE, b"hang")
        time.sleep(0.2)
        workers.close()
        assert busy.exception(10).status_code == 503
    assert gone(idle)
    with pytest.raises(HTTPException):
        workers(SPACE, b"photo")


@pytest.mark.slow
def test_a_killed_server_leaves_no_process_behind(tmp_path):
    """Killed outright, it can end nothing: an idle process sees its socket close, the clock ends one that hangs."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from unlucky import SPACE, pid_of, unlucky
workers = unlucky(Path({str(tmp_path)!r}), 2, 1.0)
first = pid_of(workers)
with workers._lock:
    workers._idle.clear()  # so that another one is started beside it
second = pid_of(workers)
print(first, second, flush=True)
workers(SPACE, b"hang")
"""
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pids = list(map(int, server.stdout.readline().split()))
    time.sleep(0.3)
    server.kill()
    server.wait()
    assert len(pids) == 2
    assert [gone(pid) for pid in pids] == [True, True]


def processes_of(pid: int) -> list[int]:
    """The processes that read uploads for a server."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and COMMAND[-1].encode() in command:
            found.append(int(stat.parent.name))
    return found


def stopped(pid: int) -> None:
    """Stop a process, as one that hangs."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.slow
def test_uploads_do_not_wait_for_one_that_hangs_and_searches_for_none(start):
    with start(workers=2) as served, ThreadPoolExecutor(2) as threads:
        goes_on(served)
        (first,) = processes_of(os.getpid())  # a second one only when it is needed
        assert "libtorch" not in Path(f"/proc/{first}/maps").read_text()  # VLAD needs none
        stopped(first)
        stuck = threads.submit(_search, served, jpeg(seed=1))
        time.sleep(0.5)  # it is on its way to the process that hangs
        goes_on(served)
        (second,) = set(processes_of(os.getpid())) - {first}
        stopped(second)
        waiting = threads.submit(_search, served, jpeg(seed=2))
        assert served.client.get("/api/photos/10/similar").status_code == 200
        assert served.client.get("/api/photos/10/thumbnail").status_code == 200
        assert not stuck.done()
        os.kill(first, signal.SIGKILL)
        assert stuck.result(20).status_code == 200  # it was not the photo's fault: another process takes it
        os.kill(second, signal.SIGCONT)
        assert waiting.result(20).status_code == 200
        goes_on(served)
    assert gone(second)


def _search(served: Served, content: bytes):
    from served import client

    with client(served.told.url) as asking:
        return asking.post("/api/search", files={"photo": content})


@pytest.mark.slow
def test_a_server_with_a_photo_that_hangs_can_be_stopped(start, capfd):
    with ThreadPoolExecutor(1) as threads:
        with start(workers=1) as served:
            goes_on(served)
            stopped(*processes_of(os.getpid()))
            stuck = threads.submit(_search, served, jpeg())
            time.sleep(0.3)
        assert "being stopped" in refused(stuck.result(10), 503)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_network_with_an_exported_graph_is_run_without_torch(tmp_path):
    """Slow: torch exports the graph."""
    pytest.importorskip("onnxruntime", reason="exported graphs need onnxruntime: pip install '.[onnx]'")
    from served import client, make_collection
    from small_models import network_model

    from hashpipe.hashing.models.model_folder import read_model
    from hashpipe.hashing.serve.run import listening

    workspace = make_collection(tmp_path, network_model(tmp_path / "made" / "model", (16,)))
    runtimes.prepare(read_model(workspace / "model"), 16, [])
    with listening(workspace, ServeOptions(port=0, runtime="onnx")) as told, client(told.url) as asking:
        content = (tmp_path / "photos" / "004.png").read_bytes()
        answer = asking.post("/api/search", files={"photo": content}).json()
        assert answer["results"][0]["name"] == "004.png"
        (worker,) = processes_of(os.getpid())
        maps = Path(f"/proc/{worker}/maps").read_text()
        assert ("libtorch" in maps, "onnxruntime" in maps) == (False, True)
