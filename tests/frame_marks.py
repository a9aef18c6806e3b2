"""Marks that cameras, players and shops leave on every picture, each at its place in the frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont


def burn(picture: Image.Image, kind: str, number: int) -> Image.Image:
    """An RGB picture with marks of a kind; `number` (of the photo) changes what changes from photo to photo.

    Sizes follow the longest side, so that photos of one camera have equal marks, lying or standing.
    """
    marked = picture.convert("RGB").copy()
    KINDS[kind](marked, max(marked.size) / 640, number)
    return marked


def badge(picture: Image.Image, unit: float, number: int) -> None:
    """A badge of coloured squares at the lower left and a strip of them along the top, rich in corners."""
    _paste(picture, _squares(1, 14, 50), (250 * unit, 70 * unit), (10 * unit, picture.height - 80 * unit))
    _paste(picture, _squares(2, 4, 64), (picture.width, 24 * unit), (0, 0))


def date(picture: Image.Image, unit: float, number: int) -> None:
    """Date and time in orange at the lower right; most digits differ between photos."""
    text = f"{2019 + number % 5}-{1 + number % 12:02}-{1 + 7 * number % 28:02} {number % 24:02}:{13 * number % 60:02}"
    place = (picture.width - 12 * unit, picture.height - 10 * unit)
    stroke = {"stroke_width": max(1, round(unit)), "stroke_fill": (40, 10, 0)}
    ImageDraw.Draw(picture).text(place, text, (255, 150, 30), ImageFont.load_default(26 * unit), anchor="rs", **stroke)


def bar(picture: Image.Image, unit: float, number: int) -> None:
    """A game camera's information bar along the bottom: logo, date, name, temperature, pressure."""
    top, middle = picture.height - 36 * unit, picture.height - 18 * unit
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, top, picture.width, picture.height), fill=(0, 0, 0))
    pen.ellipse((8 * unit, top + 4 * unit, 36 * unit, top + 32 * unit), outline=(255, 255, 0), width=round(3 * unit))
    pen.polygon(
        [(44 * unit, top + 30 * unit), (58 * unit, top + 4 * unit), (72 * unit, top + 30 * unit)], (0, 255, 255)
    )
    text = (
        f"2024-05-{1 + number % 28:02}  {7 * number % 24:02}:00:00  CAM 07  {number % 30:02}C  0{950 + number % 60}hPa"
    )
    pen.text((84 * unit, middle), text, (255, 255, 255), ImageFont.load_default(20 * unit), anchor="lm")


def border(picture: Image.Image, unit: float, number: int) -> None:
    """A patterned frame around the whole picture."""
    width = round(22 * unit)
    inner = picture.crop((width, width, picture.width - width, picture.height - width))
    for left in (0, picture.width - width):
        _paste(picture, _squares(3, 60, 3), (width, picture.height), (left, 0))
    for top in (0, picture.height - width):
        _paste(picture, _squares(4, 3, 80), (picture.width, width), (0, top))
    picture.paste(inner, (width, width))


def watermark(picture: Image.Image, unit: float, number: int) -> None:
    """A half transparent text, turned and repeated over the whole picture."""
    side = 2 * max(picture.size)
    layer = Image.new("L", (side, side))
    pen, font = ImageDraw.Draw(layer), ImageFont.load_default(34 * unit)
    for row, y in enumerate(np.arange(0, side, 110 * unit)):
        for x in np.arange(-120 * unit * (row % 2), side, 260 * unit):
            pen.text((x, y), "EXAMPLE STOCK", 110, font)
    turned = layer.rotate(30)
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    mask = turned.crop((left, top, left + picture.width, top + picture.height))
    picture.paste((255, 255, 255), (0, 0), mask)


def dust(picture: Image.Image, unit: float, number: int) -> None:
    """A vignette and dark spots of dust on the sensor, sharp and soft ones."""
    y, x = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    light = 1 - 0.35 * (x * x + y * y)
    draw = np.random.default_rng(6)
    spots = Image.new("L", picture.size)
    pen = ImageDraw.Draw(spots)
    for across, down, radius, depth in draw.uniform((0, 0, 2, 90), (1, 1, 6, 200), (60, 4)):
        u, v, r = across * picture.width, down * picture.height, radius * unit
        pen.ellipse((u - r, v - r, u + r, v + r), fill=round(depth))
    shade = np.asarray(spots.filter(ImageFilter.GaussianBlur(unit)), float) / 255
    pixels = np.asarray(picture, float) * (light * (1 - shade))[..., None]
    picture.paste(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def bonnet(picture: Image.Image, unit: float, number: int) -> None:
    """The bonnet of the car that the camera stands in: paint, stickers, a wiper."""
    height = round(90 * unit)
    part = Image.new("RGB", (picture.width, height), (50, 60, 90))
    grain = np.random.default_rng(7).normal(0, 12, (height // 2, picture.width // 2))
    paint = Image.fromarray(np.clip(110 + grain, 0, 255).astype(np.uint8)).resize(part.size)
    part = Image.blend(part, paint.convert("RGB"), 0.5)
    _paste(part, _squares(8, 6, 6), (60 * unit, 50 * unit), (part.width * 0.6, 25 * unit))
    pen = ImageDraw.Draw(part)
    pen.line((0, 30 * unit, part.width * 0.45, 80 * unit), (5, 5, 5), round(8 * unit))
    pen.text((part.width * 0.3, 40 * unit), "RALLY 42", (240, 240, 240), ImageFont.load_default(30 * unit))
    mask = Image.new("L", part.size)
    ImageDraw.Draw(mask).ellipse((-0.1 * part.width, 0, 1.1 * part.width, 2.4 * height), fill=255)
    picture.paste(part, (0, picture.height - height), mask)


def letterbox(picture: Image.Image, unit: float, number: int) -> None:
    """Black bars above and below, as of a film, with a channel's name in one."""
    height = round(0.12 * picture.height)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, picture.width, height), fill=(0, 0, 0))
    pen.rectangle((0, picture.height - height, picture.width, picture.height), fill=(0, 0, 0))
    font = ImageFont.load_default(0.6 * height)
    pen.text((picture.width - 12 * unit, height / 2), "CHANNEL 7 HD", (220, 220, 220), font, anchor="rm")


KINDS: dict[str, Callable[[Image.Image, float, int], None]] = {
    kind.__name__: kind for kind in (badge, date, bar, border, watermark, dust, bonnet, letterbox)
}


def _squares(seed: int, rows: int, columns: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (rows, columns, 3), np.uint8))


def _paste(picture: Image.Image, part: Image.Image, size: tuple[float, float], place: tuple[float, float]) -> None:
    wide, high = (max(1, round(length)) for length in size)
    picture.paste(part.resize((wide, high), Image.Resampling.NEAREST), (round(place[0]), round(place[1])))
