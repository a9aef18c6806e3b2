"""The console script as a user runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from console import SCRIPT, default_signals, environment

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def hashpipe(tmp_path: Path) -> Run:
    """Run `hashpipe ARGUMENTS` in an empty folder; keywords: cwd, environment variables in capitals, timeout."""

    def run(*arguments: object, cwd: Path = tmp_path, timeout: float = 120, **variables: str):
        return subprocess.run(
            [SCRIPT, *map(str, arguments)],
            cwd=cwd,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=timeout,
            preexec_fn=default_signals,
        )

    return run


@pytest.fixture
def refused(hashpipe: Run) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, nothing on stdout, no traceback. Returns the sentence."""

    def run(*arguments: object, **keywords: object) -> str:
        done = hashpipe(*arguments, **keywords)
        assert done.returncode == 2, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
        sentence = done.stderr.strip().splitlines()[-1]
        assert sentence.startswith("hashpipe: "), done.stderr
        return sentence

    return run
