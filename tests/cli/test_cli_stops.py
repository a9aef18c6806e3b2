"""SIGTERM at any moment of a command's life: one sentence and 143, or the whole result and 0."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from console import default_signals, environment

STOPPED = "hashpipe: stopped; finished work is kept; run the same command to continue."
START = [sys.executable, "-m", "hashpipe.cli.start"]  # what the console script runs

# a command of hashpipe's own group, run as the console script runs it
PROGRAM = """
import os, signal, sys, threading, time
import click
from hashpipe.cli import main

@click.command()
def wait():
    {body}

main.hashpipe.table["wait"] = ("__main__:wait", "")
sys.argv = ["hashpipe", "wait"]
main.main()
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(body=body.strip().replace("\n", "\n    "))
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        preexec_fn=default_signals,
    )


def test_before_anything_is_imported(tmp_path):
    """The one module that takes time is held up, and the signal comes while it is."""
    (tmp_path / "click").mkdir()
    (tmp_path / "click" / "__init__.py").write_text(
        "import os, signal, sys, time\nprint('importing', flush=True)\ntime.sleep(30)\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        START,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=paths),
        preexec_fn=default_signals,
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (143, "", f"{STOPPED}\n")


def test_at_random_moments_of_the_first_second():
    for milliseconds in (150, 400):
        process = subprocess.Popen(
            [*START, "doctor", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            preexec_fn=default_signals,
        )
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        assert "Exception ignored" not in err
        if process.returncode == 143:
            assert err.strip().splitlines() == [STOPPED]
        elif process.returncode != -signal.SIGTERM:  # the interpreter itself had not begun
            assert json.loads(out)


@pytest.mark.parametrize(
    "swallowing",
    [
        # a destructor cannot raise
        """
class Swallowing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10): time.sleep(0.01)
Swallowing()
time.sleep(20)
""",
        # a library that is imported makes its own error of it
        """
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
except BaseException as error:
    raise ImportError("some library failed to load") from error
""",
    ],
)
def test_a_stop_that_a_library_swallows_or_changes(swallowing):
    begun = time.monotonic()
    done = run(swallowing)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr.strip() == STOPPED
    assert time.monotonic() - begun < 15


def test_at_exit_the_result_stands():
    """The signal comes while the interpreter tidies up."""
    done = run("""
import atexit
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.3)))
print("the result")
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the result\n", "")


def test_what_a_command_holds_is_not_freed_when_it_is_stopped():
    """Freeing the memory of a large command took seconds: the sentence is the last thing that happens."""
    begun = time.monotonic()
    done = run("""
import atexit
atexit.register(lambda: time.sleep(20))
print("kept", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(20)
""")
    assert (done.returncode, done.stdout) == (143, "kept\n")
    assert done.stderr.strip() == STOPPED
    assert time.monotonic() - begun < 15


def test_the_console_script_is_the_one_that_hears_early():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'hashpipe = "hashpipe.cli.start:main"' in project


def test_a_name_that_is_not_utf8_is_found_in_the_text_that_was_to_be_written():
    done = run(r"""
import json, pathlib
text = json.dumps({"a": "b", "photos": "/f\udcfcr"}, indent=2, ensure_ascii=False)
pathlib.Path(os.devnull).write_text(text, "utf-8")
""")
    assert done.returncode == 2
    assert done.stderr == "hashpipe: /f\\xfcr is not valid UTF-8; rename it, or name another place.\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("MemoryError()", "memory ran out"),
        ("ImportError('libtorch_cpu.so: failed to map segment from shared object')", "memory ran out"),
        ("OSError(12, 'Cannot allocate memory')", "memory ran out"),
        ('RuntimeError("can\'t start new thread")', "memory ran out"),
        (
            'RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 9 bytes")',
            "memory ran out",
        ),
        ("FileNotFoundError(2, \"No usable temporary directory found in ['/tmp']\")", "TMPDIR"),
        ("UnicodeEncodeError('utf-8', 'f\\udcfcr', 1, 2, 'surrogates not allowed')", r"f\xfcr is not valid UTF-8"),
    ],
)
def test_one_sentence_for_what_the_system_lacks(error, said):
    done = run(f"raise {error}")
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_little_memory_is_said_before_a_library_ends_the_process():
    limited = ["bash", "-c", 'ulimit -v 120000; exec "$@"', "bash", *START, "pairs", "check"]
    done = subprocess.run(limited, capture_output=True, text=True, env=environment(), timeout=60)
    said = done.stderr.splitlines()[0]
    assert said.startswith("hashpipe: this process may use 0.1 GiB of address space only (ulimit -v)")
    assert "ulimit" not in subprocess.run([*START, "--help"], capture_output=True, text=True).stderr


def test_a_fault_of_ours_keeps_its_traceback():
    done = run("raise RuntimeError('a bug')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_broken_connection_is_no_reader_that_left():
    done = run("raise BrokenPipeError(32, 'Broken pipe')")
    assert done.returncode == 1
    assert "a connection to another process broke" in done.stderr
