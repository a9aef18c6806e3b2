"""Text that people write: whatever editor on whatever system saved it, it is read the same way."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from hashpipe.common.errors import UserError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")
_END = re.compile("\r+\n")  # several returns where a program wrote the ends of Windows twice
_ADVICE = "save it as plain text in UTF-8"


def read_text(path: Path, name: str = "", *, keep_bytes: bool = False) -> str:
    """The text of a file, decoded as `decode_text` does. Raises UserError also where the file cannot be read.

    name: how the message calls the file, without it by its path.
    """
    name = name or str(path)
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{name} does not exist; check the path.") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read ({(error.strerror or str(error)).lower()}); check the path.") from None
    return decode_text(content, name, keep_bytes=keep_bytes)


def decode_text(content: bytes, name: str, *, keep_bytes: bool = False) -> str:
    """Text of bytes, its lines ended by line feeds, without a byte-order mark.

    Read are UTF-8, and UTF-16 and UTF-32 as Windows writes them (with their mark, or UTF-16 of mostly ASCII letters
    without one); lines may end as on Unix, Windows or old Macs; the Ctrl-Z that ends DOS files is dropped. With
    keep_bytes other bytes are kept as `os.fsdecode` keeps those of file names. Raises UserError, which calls the
    content `name`, where it is no text.
    """
    mark, encoding = next(((mark, kind) for mark, kind in _BOMS if content.startswith(mark)), (b"", ""))
    content = content[len(mark) :]
    encoding = encoding or _unmarked(content)
    if content.startswith(b"{\\rtf"):
        raise UserError(f"{name} is a formatted document (RTF), not plain text; {_ADVICE}.")
    try:
        text = content.decode(encoding, "surrogateescape" if keep_bytes and encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise UserError(f"{name} is cut or damaged {encoding.upper()} text; {_ADVICE}.") from None
        line = content.count(b"\n", 0, error.start) + 1
        if _CONTROL.search(content.decode("latin-1")):
            raise UserError(f"{name} is not a text file; {_ADVICE}.") from None
        raise UserError(f"{name} is not UTF-8 (byte {content[error.start]:02x} in line {line}); {_ADVICE}.") from None
    text = _END.sub("\n", text.removesuffix("\x1a"))
    if "\n" not in text:  # else a return is part of a name
        text = text.replace("\r", "\n")
    if _CONTROL.search(text):
        raise UserError(f"{name} is not a text file; {_ADVICE}.")
    return text


def _unmarked(content: bytes) -> str:
    """The encoding of bytes without a mark: UTF-16 where every second byte of most letters is zero, else UTF-8."""
    if len(content) % 2 == 0 and b"\0" in content:
        for first, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
            high, low = content[first::2], content[1 - first :: 2]
            if 0 not in low and 2 * high.count(0) > len(high):
                return encoding
    return "utf-8"
