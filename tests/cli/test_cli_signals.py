"""Ctrl-C and SIGTERM, while Python runs and while native code holds the main thread."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from console import default_signals

# a command of hashpipe's own group, so that everything between signal and exit code is the real thing
PROGRAM = """
import sys, time, hashlib
import click
from hashpipe.cli import main

@click.command()
def wait():
    print("ready", flush=True)
    {body}

main.hashpipe.table["wait"] = ("__main__:wait", "")
sys.argv = ["hashpipe", "wait"]
main.main()
"""
SLEEP = "time.sleep(60)"
# holds the main thread without giving Python a chance to run a signal handler, and releases the GIL
NATIVE = "hashlib.pbkdf2_hmac('sha256', b'password', b'salt', 400_000_000)"


def start(body: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_line_and_the_usual_exit_code(number, code):
    process = start(SLEEP)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert out == ""
    assert err == "\nhashpipe: stopped; finished work is kept; run the same command to continue.\n"


def test_second_interrupt_ends_native_code_at_once():
    process = start(NATIVE)
    time.sleep(0.3)  # until it is in there
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    assert process.stderr.readline() == "hashpipe: stopping after this step; Ctrl-C again stops at once.\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert time.monotonic() - begun < 2
    process.stdout.close()
    process.stderr.close()


def test_two_signals_together_are_one():
    process = start("try:\n        time.sleep(60)\n    finally:\n        time.sleep(0.5); print('tidied', flush=True)")
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
