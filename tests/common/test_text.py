"""Text as editors on three systems write it."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.text import decode_text, read_text

TEXT = "[train]\nbits = 16 # été 日本\n"
_SAVED = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "Windows lines": TEXT.replace("\n", "\r\n").encode(),
    "old Mac lines": TEXT.replace("\n", "\r").encode(),
    "DOS, ended by Ctrl-Z": TEXT.replace("\n", "\r\n").encode() + b"\x1a",
    "Windows Unicode": codecs.BOM_UTF16_LE + TEXT.replace("\n", "\r\n").encode("utf-16-le"),
    "Windows Unicode, big-endian": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "UTF-16 without a mark": TEXT.encode("utf-16-le"),
    "UTF-16 without a mark, big-endian": TEXT.encode("utf-16-be"),
    "UTF-32": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "UTF-32, big-endian": codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
}


@pytest.mark.parametrize("how", _SAVED)
def test_every_way_to_save_it_gives_the_same_text(how: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(_SAVED[how])
    assert read_text(tmp_path / "file") == TEXT


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Caf\u00e9\n".encode("latin-1"), "not UTF-8 (byte e9 in line 1)"),
        (b"one\ntwo \xff\n", "byte ff in line 2"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not a text file"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "not a text file"),
        (b"plain\0text", "not a text file"),
        (b"a.jpg\0b.jpg\0", "not a text file"),
        (b"{\\rtf1\\ansi bits = 16}", "RTF"),
        (codecs.BOM_UTF16_LE + b"a\0b", "cut or damaged UTF-16-LE"),
        (codecs.BOM_UTF16_LE + b"\0\xd8a\0", "cut or damaged UTF-16-LE"),
    ],
)
def test_what_is_no_text_is_one_sentence(content: bytes, says: str) -> None:
    with pytest.raises(UserError) as refused:
        decode_text(content, "the list")
    assert says in str(refused.value)
    assert str(refused.value).startswith("the list ")
    assert "save it as plain text in UTF-8" in str(refused.value)


def test_nothing_is_text_too() -> None:
    assert decode_text(b"", "x") == decode_text(codecs.BOM_UTF8, "x") == decode_text(codecs.BOM_UTF16_LE, "x") == ""


def test_names_of_other_bytes_are_kept_where_asked() -> None:
    assert os.fsencode(decode_text(b"caf\xe9.jpg\r\n", "x", keep_bytes=True)) == b"caf\xe9.jpg\n"


def test_a_return_within_a_name_is_kept() -> None:
    assert decode_text(b"one\rname.jpg\r\ntwo.jpg\r\n", "x") == "one\rname.jpg\ntwo.jpg\n"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--config .*none does not exist"):
        read_text(tmp_path / "none", f"--config {tmp_path / 'none'}")
    with pytest.raises(UserError, match="cannot be read"):
        read_text(tmp_path)


def test_ends_of_lines_that_were_written_twice_are_ends_of_lines():
    assert decode_text(b"a\r\r\nb\r\r\n", "list") == "a\nb\n"
