"""`hashpipe serve --mcp` asked by the official client over standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from served import COUNT, make_collection

pytest.importorskip("mcp.server.mcpserver", reason="agents need mcp: pip install 'hashpipe-photos[mcp]'")


@pytest.fixture(scope="module")
def collection(tmp_path_factory, model) -> Path:
    folder = tmp_path_factory.mktemp("agents")
    workspace = make_collection(folder, model)
    names = sorted(path for path in (folder / "photos").rglob("*.png") if path.is_file())
    photos = [{"path": str(path), "distance": number} for number, path in enumerate(names[:2])]
    record = {"kind": "near", "group": 1, "why_best": "most pixels", "photos": photos}
    (workspace / "groups").mkdir()
    (workspace / "groups" / "groups.json").write_text(
        json.dumps({"rules": {"radius": 3}, "notes": [], "groups": [record]})
    )
    return workspace


def session(workspace: Path, calls: list[tuple[str, dict[str, Any]]]) -> tuple[list[Any], list[Any]]:
    """Tools and results of one session with the command, as a client starts it."""
    from mcp import Client, StdioServerParameters

    arguments = ["-m", "hashpipe.cli.start", "serve", "--mcp", "-w", str(workspace)]

    async def talk() -> tuple[list[Any], list[Any]]:
        server = StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            return tools, [await client.call_tool(name, values) for name, values in calls]

    return asyncio.run(asyncio.wait_for(talk(), 120))


def content(result: Any) -> dict[str, Any]:
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)


def test_a_session(collection):
    """List the tools, call each, and get one sentence for every wrong input."""
    photos = sorted(path for path in (collection.parent / "photos").rglob("*.png") if path.is_file())
    name = next(path.name for path in photos if path.parent.name == "photos")
    wrong = [
        ("search", {"photo": "nowhere.png"}, "nowhere.png is no photo of this collection"),
        ("search", {"photo": "/etc/passwd"}, "/etc/passwd is no photo of this collection"),
        ("search", {"photo": "../" * 9 + "etc/passwd"}, "is no photo of this collection"),
        ("search", {"photo": name, "limit": 0}, "limit is 0; give 1 to 100"),
        ("search", {"photo": name, "radius": 99}, "radius is 99; give 0 to 16"),
        ("search", {"photo": name, "limit": "many"}, "limit: input should be a valid integer"),
        ("search", {}, "photo: field required"),
        ("place", {"photo": ""}, "photo is empty"),
        ("groups", {"kind": "pair"}, "There is no kind 'pair' of groups"),
        ("groups", {"offset": -1}, "offset is -1"),
        ("delete", {}, "delete"),
    ]
    right = [("search", {"photo": name, "limit": 3}), ("place", {"photo": "10"}), ("groups", {}), ("statistics", {})]
    tools, results = session(collection, [*right, *((tool, values) for tool, values, _ in wrong)])
    assert {tool.name for tool in tools} == {"search", "place", "groups", "statistics"}
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    found, place, groups, statistics = map(content, results[:4])
    assert found["photo"]["path"].endswith(name)
    assert [hit["distance"] for hit in found["hits"]] == sorted(hit["distance"] for hit in found["hits"])
    assert len(found["hits"]) == 3
    assert all(Path(hit["path"]).is_file() and hit["path"] != found["photo"]["path"] for hit in found["hits"])
    assert (place["place"], place["photos_of_place"], len(place["others"])) == (0, 4, 3)
    assert groups["counts"]["near"] == 1
    assert groups["groups"][0]["count"] == 2
    assert (statistics["photos"], statistics["places"], statistics["bits"]) == (COUNT, 2, 16)
    for (_, _, sentence), result in zip(wrong, results[4:], strict=True):
        assert result.is_error
        said = result.content[0].text
        assert sentence in said, said
        assert "\n" not in said


def test_without_an_index_it_refuses(tmp_path, refused_serve):
    assert "index" in refused_serve(tmp_path)


@pytest.fixture
def refused_serve():
    import subprocess

    from hashpipe.common.files import open_workspace

    def run(folder: Path) -> str:
        workspace = open_workspace(folder / "ws", create=True)
        done = subprocess.run(
            [sys.executable, "-m", "hashpipe.cli.start", "serve", "--mcp", "-w", str(workspace)],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 2
        assert done.stdout == ""
        return done.stderr.splitlines()[-1]

    return run
