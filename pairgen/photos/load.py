"""Open and decode photos: upright, 8-bit RGB, within bounds. Broken files raise UnreadablePhoto."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from hashpipe.pairgen.photos.exif import Exif, read_exif
from hashpipe.pairgen.photos.files import source_of
from hashpipe.pairgen.photos.grey import as_grey, is_deep, mend_byte_order
from hashpipe.pairgen.photos.identify import UnreadablePhoto, identify, without_unsound_parts
from hashpipe.pairgen.photos.kinds import HEAD, head_of, kind_of_content, kind_of_name

__all__ = [
    "UnreadablePhoto",
    "has_more_pages",
    "load_upright",
    "open_photo",
    "read_exif",
    "short_reason",
    "upright_size",
]

MIN_SIDE = 16  # pixels; below it there is nothing to find features on
_PAGED = frozenset({"TIFF", "GIF", "WebP", "PNG", "HEIF", "AVIF"})  # kinds that may hold several pages
MAX_PIXELS = 500_000_000  # beyond it a file is more likely an attack than a photo

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> what makes the picture upright


def open_photo(source: Path | BinaryIO, name: str = "", trusted: bool = True) -> Image.Image:
    """Open a photo's header and check its size; most formats are not decoded yet. Raises UnreadablePhoto.

    name: what a stream is called, as a suffix tells some kinds that content does not. trusted: False for strangers'
    files, which only decoders of common formats may see.
    """
    try:
        if isinstance(source, Path):
            name = name or source.name
            found = source_of(source)[0].stat()
            if not stat.S_ISREG(found.st_mode):
                raise UnreadablePhoto("not a file")
            if found.st_size == 0:
                raise UnreadablePhoto("empty file")
        image = _opened(source, name, trusted)
    except UnreadablePhoto:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadablePhoto("not a photo in a known format") from None
    except Exception as error:
        raise UnreadablePhoto(short_reason(error)) from None
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise UnreadablePhoto(f"{width} x {height} pixels are too few (at least {MIN_SIDE} each way)")
    if width * height > MAX_PIXELS:
        raise UnreadablePhoto(f"{width} x {height} pixels are too many (at most {MAX_PIXELS // 10**6} million)")
    return image


def _opened(source: Path | BinaryIO, name: str, trusted: bool) -> Image.Image:
    try:
        return identify(source, name, trusted)
    except UnreadablePhoto:
        raise
    except Exception:  # damaged metadata raise nearly anything
        image = without_unsound_parts(source)
        if image is None:
            raise
        return image


def load_upright(source: Path | BinaryIO, max_side: int | None = None, name: str = "") -> Image.Image:
    """Decode a photo as upright 8-bit RGB, its longest side at most `max_side` pixels.

    JPEGs are shrunk while they are decoded. Transparent parts lie on mid grey; deeper grey is scaled by its own range.
    Of several pages or frames the first is read. Raises UnreadablePhoto, also for a truncated file.
    """
    with open_photo(source, name) as image:
        try:
            picture = _decoded(image, read_exif(image).orientation, max_side)
        except Exception as error:
            picture = _second_try(source, read_exif(image).orientation, max_side, error)
    if max_side and max(picture.size) > max_side:
        scale = max_side / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture.info = {}  # EXIF and XMP, which may hold a position, do not travel with the pixels
    return picture


def _decoded(image: Image.Image, orientation: int, max_side: int | None) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if max_side:
            image.draft("RGB", (max_side, max_side))
        mend_byte_order(image)
        _load(image)
        picture = _to_rgb(image)
    turn = None if turns_itself(image) else _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _load(image: Image.Image) -> None:
    """Decode. Pillow turns a TIFF itself and reads all its metadata for it; where they are damaged, nothing turns."""
    try:
        image.load()
    except Exception:
        if image.format != "TIFF" or getattr(image, "tile", None):
            raise
        image.getdata()  # the pixels are there


def _second_try(source: Path | BinaryIO, orientation: int, max_side: int | None, error: Exception) -> Image.Image:
    """The pixels without metadata that are damaged; UnreadablePhoto with the first error where that is no help."""
    try:
        image = without_unsound_parts(source)
        if image is not None:
            with image:
                return _decoded(image, orientation, max_side)
    except Exception:
        pass
    raise UnreadablePhoto(short_reason(error)) from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if is_deep(image):
        return as_grey(image).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (128, 128, 128, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def turns_itself(image: Image.Image) -> bool:
    """Whether Pillow turns the picture upright when it decodes it, and says its size so before."""
    return image.format == "TIFF"


def upright_size(image: Image.Image, exif: Exif) -> tuple[int, int]:
    """Width and height of an opened photo when it stands upright."""
    return image.size[::-1] if exif.orientation >= 5 and not turns_itself(image) else image.size


def has_more_pages(image: Image.Image) -> bool:
    """Whether a file holds further pages or frames; further pictures of a JPEG do not count, which cameras add."""
    if image.format == "HEIF":
        return int(getattr(image, "n_frames", 1)) > 1
    try:
        return image.format not in ("MPO", "JPEG", "RAW") and bool(getattr(image, "is_animated", False))
    except Exception:
        return False


def first_of_several(source: Path | BinaryIO, name: str = "") -> bool:
    """Whether a file that can be opened holds further pages; those that cannot hold any are not opened for it."""
    head = head_of(source) if isinstance(source, Path) else source.read(HEAD)
    if kind_of_content(head) not in _PAGED or kind_of_name(name or getattr(source, "name", "")) == "RAW":
        return False
    try:
        with open_photo(source, name) as image:
            return has_more_pages(image)
    except UnreadablePhoto:
        return False


def more_pages_note(names: Sequence[str]) -> str:
    """What to say of files of which only the first page is read, without full stop."""
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    count = "1 file holds" if len(names) == 1 else f"{len(names)} files hold"
    return f"{count} several pages or frames, of which the first is read: {some}"


def short_reason(error: Exception) -> str:
    """First line of an error's message without paths, which differ from machine to machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
