"""Importing COLMAP changes nothing about signals, in whichever thread it happens."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, threading, time

def load():
    from hashpipe.pairgen.colmap import adapter

if sys.argv[2] == "handled":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
if sys.argv[1] == "main":
    load()
else:
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("thread", ["main", "other"])
@pytest.mark.parametrize(("handler", "code"), [("handled", 143), ("default", -signal.SIGTERM)])
def test_sigterm_ends_a_process_quietly_after_colmap_is_imported(thread: str, handler: str, code: int) -> None:
    command = [sys.executable, "-c", PROGRAM, thread, handler]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "***" not in errors  # the crash reporter's stack trace
