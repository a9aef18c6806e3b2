"""Kinds of files by what they hold: the table of what is read, by what, and what is said otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hashpipe.common.distribution import install_advice


@dataclass(frozen=True)
class Kind:
    """One kind of file: what decodes it, how (`note`), and what is said where that is not installed (`otherwise`)."""

    name: str
    suffixes: tuple[str, ...]
    reader: str
    otherwise: str = ""
    note: str = ""


NEEDS_HEIF = f"HEIC and AVIF need an extra: {install_advice('heif')}"
NEEDS_JXL = f"JPEG XL needs an extra: {install_advice('jxl')}"
NEEDS_RAW = f"RAW without a large preview needs an extra: {install_advice('raw')}"
NEEDS_VIDEO = f"frames of videos need an extra: {install_advice('video')}"
KINDS = (
    Kind("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"), "Pillow", note="motion photos"
         " and photos with several pictures (MPO, gain maps): the photo itself"),
    Kind("PNG", (".png", ".apng"), "Pillow", note="of an animation the first frame"),
    Kind("TIFF", (".tif", ".tiff"), "Pillow", note="of several pages the first; one channel of 12, 16 or 32 bits, or "
         "of floats of 32 or 64, is scaled by its own range"),
    Kind("BMP", (".bmp", ".dib"), "Pillow"),
    Kind("WebP", (".webp",), "Pillow", note="of an animation the first frame"),
    Kind("GIF", (".gif",), "Pillow", note="of an animation the first frame"),
    Kind("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpf", ".jpx"), "Pillow"),
    Kind("PNM", (".ppm", ".pgm", ".pbm", ".pnm"), "Pillow"),
    Kind("AVIF", (".avif", ".avifs"), "Pillow", NEEDS_HEIF, note="by pillow-heif where Pillow was built without AVIF"),
    Kind("HEIF", (".heic", ".heics", ".heif", ".heifs", ".hif"), "pillow-heif", NEEDS_HEIF,
         note="Live Photos: the photo; its video is left out"),
    Kind("JPEG XL", (".jxl",), "pillow-jxl-plugin", NEEDS_JXL),
    Kind("RAW", (".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".pef",
                 ".srw", ".3fr", ".erf", ".mrw", ".x3f", ".iiq"), "Pillow or rawpy", NEEDS_RAW,
         note="its embedded preview of 1024 pixels or more by Pillow; else the sensor's data, developed by rawpy"),
    Kind("video", (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".3gp", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv"),
         "PyAV", NEEDS_VIDEO, note="frames, with `--video-frames`; without it videos are counted and said"),
)  # fmt: skip
VIDEO = "video"
_OF_SUFFIX = {suffix: kind.name for kind in KINDS for suffix in kind.suffixes}
EXTENSIONS = frozenset(suffix for suffix, name in _OF_SUFFIX.items() if name != VIDEO)  # of photos, lower case
HEAD = 400  # bytes that tell a kind

_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF = frozenset({b"avif", b"avis"})
_QUICKTIME = frozenset({b"moov", b"mdat", b"wide", b"pnot"})
_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"IIRO", "RAW"),  # Olympus
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\0", "RAW"),  # Panasonic
    (b"FOVb", "RAW"),  # Sigma
    (b"\0MRM", "RAW"),  # Minolta
    (b"II\x1a\0\0\0HEAPCCDR", "RAW"),  # Canon CRW
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\x1aE\xdf\xa3", VIDEO),  # Matroska
    (b"\0\0\x01\xba", VIDEO),  # MPEG
    (b"0&\xb2u\x8ef\xcf\x11", VIDEO),  # Windows Media
)


def kind_of_name(name: str) -> str:
    """The kind that a file's suffix promises, "" where it promises none."""
    return _OF_SUFFIX.get(Path(name).suffix.lower(), "")


def kind_of_content(head: bytes) -> str:
    """The kind of a file by its first HEAD bytes, "" where it is none of KINDS.

    RAW files of some makers begin as any TIFF does and are called TIFF. PNM is told by its name alone: a text could
    begin with its mark.
    """
    if head.startswith(b"II*\0") and head[8:10] == b"CR":
        return "RAW"  # Canon CR2
    if head[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": VIDEO}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and head[14:18] in _BMP_HEADERS:
        return "BMP"
    if head[4:8] in _QUICKTIME or (len(head) > 380 and (head[0], head[188], head[376]) == (0x47,) * 3):
        return VIDEO
    if len(head) > 390 and (head[4], head[196], head[388]) == (0x47,) * 3:
        return VIDEO  # AVCHD
    return next((name for start, name in _STARTS if head.startswith(start)), "")


_BMP_HEADERS = tuple(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))


def _of_brands(head: bytes) -> str:
    """ISO media: pictures and videos share one container and say what they are by brands of four letters."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    major, brands = head[8:12], {head[at : at + 4] for at in (8, *range(16, size - 3, 4))}
    if major == b"crx ":
        return "RAW"  # Canon CR3
    if major in _AVIF or (major in (b"mif1", b"msf1") and brands & _AVIF):
        return "AVIF"
    return "HEIF" if major in _HEIF else VIDEO


def head_of(path: Path) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b""
