"""A file without the parts of its metadata that are damaged, because no metadata may cost the pixels."""

from __future__ import annotations

import re
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_EXIF_ITEM = re.compile(rb"(infe\x02.{7})Exif", re.DOTALL)  # its entry in the list of an ISO file's items
_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def sound_parts(content: bytes) -> bytes | None:
    """The bytes of a PNG without damaged metadata, of an AVIF without EXIF, of a JPEG without metadata but for the
    colours' meaning; None for other files and where nothing was taken away."""
    if content.startswith(_PNG):
        found = _png(content)
    elif content.startswith(b"\xff\xd8\xff"):
        found = _jpeg(content)
    elif content[4:8] == b"ftyp":
        found = _EXIF_ITEM.sub(rb"\1skip", content, count=1)
    else:
        return None
    return None if found == content else found


def _png(content: bytes) -> bytes:
    """Chunks that hold pixels, and of the others those that are whole and short enough to be taken at their word."""
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        kind, end = content[at + 4 : at + 8], at + 12 + length
        sum_of_it = zlib.crc32(content[at + 4 : end - 4]).to_bytes(4, "big")
        if kind in _NEEDED or (kind == b"eXIf" and content[end - 4 : end] == sum_of_it):
            kept.append(content[at:end])
        at = end
    return b"".join(kept) if at <= len(content) else content


def _jpeg(content: bytes) -> bytes:
    """Without segments for applications, but for Adobe's, which says what the colours are, and EXIF."""
    kept, at = [content[:2]], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] not in (0xDA, 0xD9):
        marker, end = content[at + 1], at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        exif = marker == 0xE1 and content[at + 4 : at + 8] == b"Exif"
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE or exif:
            kept.append(content[at:end])
        at = end
    return b"".join(kept) + content[at:]
