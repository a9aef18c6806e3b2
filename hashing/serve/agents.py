"""`hashpipe serve --mcp`: the collection as tools of the Model Context Protocol, over standard input and output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hashpipe.common.distribution import install_advice, installed_version
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.hashing.serve.agent_tools import AgentTools
from hashpipe.hashing.serve.collection import Follower
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.stored_groups import stored_groups

_ABOUT = (
    "A collection of photos with binary codes. Search finds photos that look like one of the collection; small Hamming "
    "distances mean the same place or shot. Nothing is changed, and only photos of the collection can be asked about."
)


def serve_agents(workspace: Path, options: ServeOptions) -> None:
    """Answer one client on standard input and output until it leaves. Raises UserError where nothing can be served."""
    server = mcp_server(workspace, options)
    server.run("stdio")


def mcp_server(workspace: Path, options: ServeOptions) -> Any:
    """The server with its tools; follows the index. Raises UserError where the extra or the index is missing."""
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp.types import ToolAnnotations
        from pydantic import ValidationError
    except ImportError as error:
        raise UserError(f"serve --mcp needs {error.name or 'mcp'} 2; {install_advice('mcp')}.") from None

    class Server(MCPServer):
        """Says in one sentence what is wrong with the arguments of a call."""

        async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
            try:
                return await super().call_tool(name, arguments, context)
            except ToolError as error:
                if isinstance(error.__cause__, ValidationError):
                    raise ToolError(_sentence(name, error.__cause__)) from None
                raise

    workspace = open_workspace(workspace, create=False)
    tools = AgentTools(
        Follower(options.index or workspace / "index", workspace, options.also), stored_groups(workspace / "groups")
    )
    server = Server("hashpipe", instructions=_ABOUT, version=installed_version(), log_level="WARNING")
    hints = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    for work in (tools.search, tools.place, tools.groups, tools.statistics):
        server.tool(name=work.__name__, annotations=hints)(_saying(work, ToolError))
    return server


def _saying(work: Callable[..., Any], failure: type[Exception]) -> Callable[..., Any]:
    """`work`, whose UserError reaches the client as it is said."""

    @functools.wraps(work)
    def tool(*arguments: Any, **keywords: Any) -> Any:
        try:
            return work(*arguments, **keywords)
        except UserError as error:
            raise failure(str(error)) from None

    return tool


def _sentence(name: str, error: Any) -> str:
    """The first fault of a call's arguments."""
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"])) or "its arguments"
    return f"{name}: {where}: {fault['msg'][:1].lower()}{fault['msg'][1:]}."
