"""The faults of the campaign: each runs one command over a copy of the base, disturbs it, and says what is wrong."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from campaign_commands import HASHPIPE, Command, Ground, digests, environment

from hashpipe.cli.signals import STOPPED
from hashpipe.common.files import open_workspace

STOP_WITHIN = 10.0  # seconds in which a command must have stopped
WHOLE_OR_MIXED = ("pairs", "groups")  # several files, of which the last one says that all are there
_PAGE = 4096  # bytes: what a small disk in memory gives to files is counted in
STARTING = 0.3  # seconds in which the interpreter itself may not hear a signal yet


@dataclass
class Case:
    """One command, undisturbed: its results `new` and its `seconds`; `wrong` collects what a fault shows."""

    ground: Ground
    command: Command
    workspace: Path
    old: dict[str, str]
    new: dict[str, str]
    seconds: float
    chance: random.Random
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    may_go: tuple[str, ...] = ()  # caches that `clean` takes away
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def line(self) -> list[str]:
        return self.ground.line(self.command, self.workspace)

    def start(self, **how: object) -> subprocess.Popen[bytes]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        process = subprocess.Popen(self.line, env=environment(), start_new_session=True, preexec_fn=_hearing, **pipes)  # type: ignore[call-overload]
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a fault left running, as it does where a command hangs."""
        for process in self.started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def moment(self) -> float:
        """Seconds after the start: mostly anywhere in the command's time, sometimes in its first second."""
        return self.chance.random() * (self.seconds if self.chance.random() < 0.7 else min(1.0, self.seconds))

    def expect(self, true: bool, why: str) -> None:
        if not true:
            self.wrong.append(why)

    def check_output(self, code: int, errors: bytes, allowed: tuple[int, ...]) -> str:
        """Check exit code and stderr; returns the last line of stderr."""
        text = errors.decode("utf-8", "backslashreplace")
        last = (text.strip().splitlines() or [""])[-1]
        self.expect(code in allowed, f"exit code {code}: {last[:200]}")
        for bad in ("Traceback", "Exception ignored"):
            self.expect(bad not in text, f"stderr holds {bad}: {last[:200]}")
        return last

    def check_results(self, finished: bool = False) -> None:
        """Other results are as they were, this one is the old or the new one, once it has finished the new one."""
        open_workspace(self.workspace, create=False)  # whoever opens it puts back what was moved aside
        found = digests(self.workspace)
        for name, value in found.items():
            if name != self.command.result:
                gone = value == "missing" and name in self.may_go
                self.expect(gone or value == self.old[name], f"{name} is another one")
        mine, name = found[self.command.result], self.command.result
        if finished:
            self.expect(mine == self.new[name], f"{name} differs from an undisturbed run's")
        elif mine not in (self.old[name], self.new[name]):
            self.notes.append("mixed")
            self.expect(name in WHOLE_OR_MIXED, f"{name} is neither the old nor the new one")

    def run_again(self) -> None:
        done = subprocess.run(self.line, env=environment(), capture_output=True, timeout=self.ground.limit)
        self.check_output(done.returncode, done.stderr, (0,))
        self.check_results(finished=True)


def _hearing() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kill(case: Case) -> None:
    """SIGKILL of the process, or of it and its workers, at a random moment."""
    process = case.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(case.moment())
        case.notes.append("had finished")
    everyone = case.chance.random() < 0.5
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL) if everyone else process.kill()
    process.communicate()


def stop(case: Case) -> None:
    """SIGTERM at a random moment: one sentence and 143 within seconds, or the whole result and 0."""
    process, moment = case.start(), case.moment()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=case.ground.limit)
    took = time.monotonic() - begun
    unheard = (-signal.SIGTERM,) if moment < STARTING else ()
    last = case.check_output(process.returncode, errors, (0, 143, *unheard))
    if process.returncode == 143:
        case.expect(last == STOPPED, f"no sentence: {last[:200]}")
        case.expect(took <= STOP_WITHIN, f"stopped after {took:.1f} s")
        case.notes.append(f"stopped in {took:.1f} s")


def full_disk(case: Case) -> None:
    """A disk with little room left: exit code 2 and a sentence that says so."""
    pages = sum(1 + -(-one.stat().st_size // _PAGE) for one in case.workspace.rglob("*"))
    room = int(case.chance.choice((4e3, 3e4, 2e5, 1e6, 4.5e6)) * (0.5 + case.chance.random()))
    with _small_disk(case.workspace, pages * _PAGE, room) as limit:
        done = subprocess.run(
            case.line, env=environment(), capture_output=True, preexec_fn=limit, timeout=case.ground.limit
        )
        last = case.check_output(done.returncode, done.stderr, (0, 2))
        if done.returncode == 2:
            case.expect("no space left" in last or "file too large" in last, f"no word of the disk: {last[:200]}")
            case.expect(last.startswith("hashpipe: "), f"no sentence: {last[:200]}")
        else:
            case.notes.append("fitted")
        case.check_results()


@contextlib.contextmanager
def _small_disk(workspace: Path, used: int, room: int) -> Iterator[Callable[[], None]]:
    """The workspace on a disk of its own while the block runs; without the right to mount one, files are kept short."""
    aside = workspace.with_name("aside")
    workspace.rename(aside)
    workspace.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={2 * used + room}", "tmpfs", str(workspace)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    shutil.copytree(aside, workspace, dirs_exist_ok=True)
    filler = workspace / ".filler"
    if mounted:
        filler.write_bytes(bytes(max(0, shutil.disk_usage(workspace).free - room)))
    try:
        yield lambda: None if mounted else resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        filler.unlink(missing_ok=True)
        shutil.rmtree(aside)
        shutil.copytree(workspace, aside)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", workspace], check=True)
        shutil.rmtree(workspace, ignore_errors=True)
        aside.rename(workspace)


def closed_pipe(case: Case) -> None:
    """Standard streams that are closed, or read by nobody."""
    how = case.chance.choice((">&-", "2>&-", "<&-", "<&- >&- 2>&-", "| true", "2>&1 | true"))
    script = f'"$@" {how}; exit ${{PIPESTATUS[0]}}'
    command = ["bash", "-c", script, "bash", *case.line]
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=case.ground.limit)
    case.check_output(done.returncode, done.stderr, (0, 141) if "|" in how else (0,))
    case.check_results(finished=True)


def twice(case: Case) -> None:
    """The same command twice at once: both work, or one is told to wait."""
    both = [case.start(), case.start()]
    ended = [(process.communicate(timeout=case.ground.limit)[1], process.returncode) for process in both]
    for errors, code in ended:
        last = case.check_output(code, errors, (0, 2))
        case.expect(code == 0 or "in use by another hashpipe command" in last, f"no word of the other: {last[:200]}")
    case.expect(any(code == 0 for _, code in ended), "neither did it")


def cleaning(case: Case) -> None:
    """`clean --yes` again and again beside the command, which must not notice."""
    case.may_go = ("eval",)
    process = case.start()
    while process.poll() is None:
        line = [*HASHPIPE, "clean", "--yes", "-w", str(case.workspace)]
        done = subprocess.run(line, env=environment(), capture_output=True, timeout=case.ground.limit)
        last = case.check_output(done.returncode, done.stderr, (0, 2))
        case.expect(done.returncode == 0 or "in use by another" in last, f"clean: {last[:200]}")
    case.check_output(process.returncode, process.communicate()[1], (0,))
    name = case.command.result
    if name in case.may_go and digests(case.workspace)[name] == "missing":
        case.notes.append("cleaned after its end")
    else:
        case.check_results(finished=True)


def clock_back(case: Case) -> None:
    """Killed, and then the clock is set back a day: all files come from the future."""
    kill(case)
    tomorrow = time.time() + 86_400
    for path in [case.workspace, *case.workspace.rglob("*")]:
        os.utime(path, (tomorrow, tomorrow), follow_symlinks=False)


FAULTS: dict[str, Callable[[Case], None]] = {
    "kill": kill,
    "stop": stop,
    "full disk": full_disk,
    "closed pipe": closed_pipe,
    "twice": twice,
    "clean beside": cleaning,
    "clock back": clock_back,
}
