"""`--open` shows the page that a command wrote; a browser that does not open costs nothing."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest

from hashpipe.cli.output import show
from hashpipe.common import browser
from hashpipe.common.progress import show_progress


class Written:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def as_json(self) -> dict[str, str]:
        return {"folder": str(self.folder)}

    def as_text(self) -> str:
        return "written"


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(addresses.append(address)) or True)
    return addresses


@pytest.mark.parametrize("as_json", [False, True])
def test_the_page_of_the_result_is_opened(tmp_path, opened, capfd, as_json):
    (tmp_path / "a page.html").write_text("x")
    show(lambda: Written(tmp_path), as_json, page=lambda result: result.folder / "a page.html")
    assert opened == [(tmp_path / "a page.html").as_uri()]
    assert "written" in capfd.readouterr().out or as_json


def test_a_page_that_could_not_be_made_is_not_opened(tmp_path, opened):
    show(lambda: Written(tmp_path), False, page=lambda result: result.folder / "missing.html")
    show(lambda: Written(tmp_path), False)
    assert opened == []


@pytest.mark.parametrize("fault", [OSError("none"), webbrowser.Error("none"), None])
def test_without_a_browser_its_place_is_said(tmp_path, monkeypatch, capsys, fault):
    def fails(address: str) -> bool:
        if fault is not None:
            raise fault
        return False

    monkeypatch.setattr("webbrowser.open", fails)
    before = show_progress("auto")
    browser.open_page(tmp_path / "page.html")
    show_progress(before)
    assert capsys.readouterr().err == f"no browser could be opened; the page is {tmp_path / 'page.html'}\n"


@pytest.mark.parametrize("command", ["pairs build", "eval", "groups", "search", "serve", "demo"])
def test_every_command_that_writes_a_page_can_open_it(command, capsys):
    from hashpipe.cli.main import run

    assert run([*command.split(), "--help"]) == 0
    assert "--open" in capsys.readouterr().out
