"""What every request passes first: whose page asks, under which name, and how much it sends."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Message

App = Callable[..., Any]  # an ASGI application, or the receive or send that it is given

# No script, style, picture or request leaves this server; pictures that the user chose are shown from memory.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_WHOLE_SECONDS = 600.0  # that one upload may take in all, however steadily it drips
_DRAIN_BYTES, _DRAIN_SECONDS = 64 << 20, 3.0  # of a refused upload, so that its sender gets to read why


@dataclass(frozen=True)
class Policy:
    """names: lower-case host names allowed; any_address: whether every literal address is, or loopback only;
    body: bytes a request may send; uploads: requests with a body served at the same time; patience: seconds that a
    sender may stay silent."""

    names: frozenset[str]
    any_address: bool
    body: int
    uploads: int
    patience: float = 30.0


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_allowed(host: str, policy: Policy) -> bool:
    """Whether a Host header names this server.

    A page of a stranger can have its own name resolve to 127.0.0.1 and then read answers as its own (DNS rebinding);
    it cannot change what the browser sends as Host. Literal addresses are safe, they cannot be rebound.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name in policy.names:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return policy.any_address or address.is_loopback


def refusal(method: str, headers: Headers, policy: Policy) -> tuple[int, str] | None:
    """Status and sentence for a request that is not answered, None for one that is."""
    host = headers.get("host", "")
    if not host_allowed(host, policy):
        return 421, f"This server does not answer to the name {host[:100]!r}; start it with --allow-host to add a name."
    site = headers.get("sec-fetch-site", "none")
    navigates = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not navigates:
        return 403, "Only this server's own page may ask; open it and search there."
    origin = headers.get("origin")
    if method not in ("GET", "HEAD") and origin is not None and _netloc(origin) != host:
        return 403, f"A page of {origin[:100]} may not send photos here; open this server's own page."
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > policy.body:
        return 413, f"The upload is larger than {policy.body / 1e6:.0f} MB; send a smaller photo."
    return None


def _netloc(origin: str) -> str:
    """Host and port of an Origin header, "" where it has none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def behind_middleware(app: App, policy: Policy) -> App:
    """The application behind its middleware: refusals, limits on what is sent, and the headers of every answer."""
    uploads = 0

    async def guarded(scope: dict[str, Any], receive: App, send: App) -> None:
        nonlocal uploads
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sends = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        body = _Body(receive, policy, finished=not sends)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    own.setdefault(name, value)
                own.setdefault("Cache-Control", "no-store")
                if not body.finished:
                    own["Connection"] = "close"
            elif message["type"] == "http.response.body" and not message.get("more_body") and not body.finished:
                await send({**message, "more_body": True})
                if body.count or "expect" not in headers:  # who asks before sending has sent nothing
                    await body.drain()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        refused = refusal(scope["method"], headers, policy)
        extra = {}
        if refused is None and sends and uploads >= policy.uploads:
            refused = 503, f"Many photos are being searched for already ({uploads}); try again in a few seconds."
            extra = {"Retry-After": "2"}
        if refused is not None:
            status, sentence = refused
            await JSONResponse({"detail": sentence}, status, extra)(scope, body.receive, answer)
            return
        uploads += sends
        try:
            await app(scope, body.receive, answer)
        finally:
            uploads -= sends

    return guarded


class _Body:
    """What a request sends, counted."""

    def __init__(self, receive: App, policy: Policy, finished: bool) -> None:
        self._receive, self._policy = receive, policy
        self.silent = False  # waited for in vain
        self.finished, self.count, self._until = finished, 0, time.monotonic() + _WHOLE_SECONDS

    async def receive(self) -> Message:
        if self.finished:  # nothing but a disconnect can come, and that may take as long as the answer
            return await self._next()
        try:
            message = await asyncio.wait_for(self._next(), min(self._policy.patience, self._until - time.monotonic()))
        except asyncio.TimeoutError:
            self.silent = True
            raise HTTPException(408, "The upload took too long; send the photo again.") from None
        if self.count > self._policy.body:
            limit = self._policy.body / 1e6
            raise HTTPException(413, f"The upload is larger than {limit:.0f} MB; send a smaller photo.")
        return message

    async def drain(self) -> None:
        """Read on for a little while: a connection closed on unread bytes takes the answer with it."""
        until, most = time.monotonic() + _DRAIN_SECONDS, self.count + _DRAIN_BYTES
        while not self.finished and not self.silent and self.count < most and (left := until - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._next(), left)
            except asyncio.TimeoutError:
                return

    async def _next(self) -> Message:
        message: Message = await self._receive()
        self.count += len(message.get("body", b""))
        self.finished = self.finished or message["type"] != "http.request" or not message.get("more_body", False)
        return message
