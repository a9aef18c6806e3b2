"""`hashpipe serve`: open everything, listen, and run until stopped."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashpipe.common.distribution import install_advice
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.hashing.serve.middleware import Policy, is_loopback
from hashpipe.hashing.serve.options import ServeOptions

if TYPE_CHECKING:
    from hashpipe.hashing.codes.codes_file import CodeSpace

_GRACE = 5  # seconds that requests get to finish when the server is stopped
_CONNECTIONS = 512


@dataclass(frozen=True)
class Serving:
    """A server that listens."""

    url: str
    host: str
    port: int
    photos: int
    bits: int
    revision: str

    def as_json(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def as_text(self) -> str:
        lines = [f"{self.photos:,} photos at {self.url} (API: {self.url}docs). Ctrl-C stops."]
        if not is_loopback(self.host):
            lines.append(f"{self.host} is open to the network: whoever reaches this machine sees these photos.")
        return "\n".join(lines)


def serve(workspace: Path, options: ServeOptions, ready: Callable[[Serving], None]) -> None:
    """Serve the workspace's collection until interrupted; `ready` is called once, when requests are answered.

    Raises UserError where index, model or port cannot be used.
    """
    with listening(workspace, options) as serving:
        ready(serving)
        threading.Event().wait()


@contextlib.contextmanager
def listening(workspace: Path, options: ServeOptions) -> Iterator[Serving]:
    """Serve while the block runs. Same errors as `serve`."""
    uvicorn = _extra()
    listener = listen(options.host, options.port)
    with contextlib.closing(listener):
        app, photos, bits, revision, close = _open(open_workspace(workspace, create=False), options)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=_GRACE,
            ws="none",
            lifespan="off",
        )
        server = uvicorn.Server(config)
        # off the main thread: signals stay with the command line, which knows what Ctrl-C means
        thread = threading.Thread(target=copy_context().run, args=(server.run, [listener]), name="server", daemon=True)
        try:
            thread.start()
            while not server.started and thread.is_alive():
                thread.join(0.01)
            if not server.started:
                raise RuntimeError("the server ended before it answered; its messages above say why")
            port = listener.getsockname()[1]
            shown = f"[{options.host}]" if ":" in options.host else options.host
            yield Serving(f"http://{shown}:{port}/", options.host, port, photos, bits, revision)
        finally:
            server.should_exit = True
            thread.join(_GRACE - 1)
            close()  # uploads still under way are refused now, in time for their answers
            thread.join(2)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError for a port in use and an address that is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"Port {port} of {host} is in use by another program; name another one with --port, or --port 0."
            ) from None
        if error.errno == errno.EACCES:
            raise UserError(
                f"Port {port} needs rights that you do not have; name one above 1023 with --port."
            ) from None
        raise UserError(
            f"{host} is not an address of this machine ({error.strerror}); give another one with --host."
        ) from None
    return listener


def _open(workspace: Path, options: ServeOptions) -> tuple[Any, int, int, str, Callable[[], None]]:
    """The application; what it serves first: photos, bits, revision; and what ends its processes."""
    from hashpipe.common.environment import cores
    from hashpipe.hashing.serve.app import application
    from hashpipe.hashing.serve.collection import Follower
    from hashpipe.hashing.serve.executors import bounded_executor
    from hashpipe.hashing.serve.pictures import pictures
    from hashpipe.hashing.serve.state import State
    from hashpipe.hashing.serve.stored_groups import stored_groups
    from hashpipe.hashing.serve.workers import Workers

    latest = Follower(options.index or workspace / "index", workspace, options.also)
    first = latest()
    model, workers = options.model or workspace / "model", options.workers or min(4, cores())
    _check_model(model, options.runtime, first.index.space)
    describe = Workers(model, options, workers)
    describe.warm(first.index.space)
    state = State(
        options,
        latest,
        describe,
        pictures(workspace / "thumbnails", options.cache_mb * 1_000_000),
        look=bounded_executor("look", cores(), 4096),
        encode=bounded_executor("encode", workers, options.queue),
        draw=bounded_executor("draw", cores(), 1024),
        groups=stored_groups(workspace / "groups"),
    )
    names = {"localhost", options.host.lower(), *(name.lower() for name in options.allow_host)}
    # a form adds some lines around its file
    policy = Policy(
        frozenset(names), not is_loopback(options.host), options.upload_mb * 1_000_000 + 65536, options.queue
    )
    return application(state, policy), len(first), first.index.space.bits, first.index.revision, describe.close


def _check_model(folder: Path, runtime: str, space: CodeSpace) -> None:
    """Raise UserError where uploads cannot be encoded into a space by the model in `folder`; no network is loaded.

    A graph that a runtime needs and that is not there yet is exported.
    """
    from hashpipe.hashing.codes.codes_file import CodeSpace, check_same_space
    from hashpipe.hashing.encoding import engines, runtimes
    from hashpipe.hashing.models.model_folder import read_model

    model = read_model(folder)
    bits = model.pick_bits(space.bits)
    check_same_space(CodeSpace(model.fingerprint, bits, space.thresholds), space, "The model", "the index")
    name = runtimes.choose(model, bits, runtime)
    if name in runtimes.GRAPHS and not (engines.installed(name) and runtimes.graph_path(model, bits).is_file()):
        runtimes.engine(model, bits, name)


def _extra() -> Any:
    try:
        import cachetools  # noqa: F401
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        package = error.name or "fastapi"
        raise UserError(f"serve needs {package}; {install_advice('serve')}.") from None
    return uvicorn
