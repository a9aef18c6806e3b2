"""Accounts as containers have them: no entry in passwd, no HOME, no folder for temporary files."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from hashpipe.common.environment import home_named
from hashpipe.common.errors import UserError
from hashpipe.common.paths import check_scratch, expanded, scratch_folder


@pytest.fixture
def homeless(monkeypatch):
    def unknown(*asked):
        raise KeyError(asked)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RuntimeError):
        Path.home()


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/photos") == tmp_path / "photos"
    assert expanded("~") == tmp_path
    assert expanded("a/~b") == Path("a/~b")


def test_a_photo_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expanded("~draft.jpg") == Path("~draft.jpg")
    assert expanded(Path("~$word/1.jpg")) == Path("~$word/1.jpg")


def test_a_tilde_without_a_home_is_one_sentence(homeless):
    with pytest.raises(UserError, match="~/photos begins with ~, and this account has no home folder"):
        expanded("~/photos")
    assert expanded("photos") == Path("photos")


def test_libraries_that_ask_for_a_home_get_a_name(homeless):
    with home_named():
        assert not Path.home().is_dir()
    assert "HOME" not in os.environ


def test_a_home_that_is_there_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with home_named():
        assert Path.home() == tmp_path
    assert os.environ["HOME"] == str(tmp_path)


def test_scratch_goes_away(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder() as folder:
        (folder / "x").write_text("x")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_for_temporary_files_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null"])
    for use in (check_scratch, scratch_folder().__enter__):
        with pytest.raises(UserError, match="set TMPDIR"):
            use()
