"""Painted surfaces of rendered places: layered noise, masonry, glass, posters. Two seeds share no patch."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

_SYLLABLES = [
    "ka",
    "lo",
    "mi",
    "ren",
    "tas",
    "vor",
    "el",
    "ur",
    "sha",
    "pi",
    "no",
    "gra",
    "ben",
    "dul",
    "fe",
    "zi",
    "ox",
    "tra",
    "hem",
    "qua",
    "wi",
    "jo",
    "sk",
    "ay",
]
_FONTS = ("Sans-Bold", "Serif-Bold", "SansMono-Bold", "Sans-BoldOblique", "Serif-Italic", "Sans")


def noise(
    rng: np.random.Generator, height: int, width: int, *, cells: int = 3, persistence: float = 0.55
) -> np.ndarray:
    """Sum of random grids from `cells` per side up to single pixels; float32 (height, width), mean 0, deviation 1.

    `persistence` is the amplitude of each octave relative to the coarser one: 0.5 is smooth, 0.9 is gritty. Each octave
    is added to the enlarged sum of the coarser ones, so that the cost is that of the last octave.
    """
    octaves = max(0, int(np.log2(max(height, width) / cells)))
    total = np.zeros((2, 2), np.float32)
    for octave in range(octaves + 1):
        scale = 2.0 ** (octaves - octave)
        grid = (max(2, math.ceil(height / scale)), max(2, math.ceil(width / scale)))
        total = np.asarray(Image.fromarray(total).resize(grid[::-1], Image.Resampling.BICUBIC))
        total = total + persistence**octave * rng.standard_normal(grid, dtype=np.float32)
    total = total[:height, :width]
    total -= total.mean()
    return total / max(float(total.std()), 1e-6)


def random_colour(rng: np.random.Generator, *, low: int = 30, high: int = 230) -> Colour:
    """A faded colour as of painted things outdoors: reds, ochres and browns most, then blues, then greens."""
    hue = rng.choice([rng.normal(0.06, 0.04), rng.normal(0.58, 0.04), rng.normal(0.3, 0.06)], p=[0.6, 0.25, 0.15]) % 1
    r, g, b = colorsys.hsv_to_rgb(float(hue), float(rng.uniform(0.1, 0.65)), float(rng.uniform(low, high)))
    return int(r), int(g), int(b)


def earthy(rng: np.random.Generator) -> np.ndarray:
    """A wall colour: sand, brick, slate, ochre, grey ...; float32 (3,)."""
    palette = (
        (178, 150, 116),
        (152, 88, 66),
        (120, 118, 112),
        (196, 176, 128),
        (150, 138, 124),
        (104, 112, 98),
        (206, 196, 184),
    )
    base = np.array(palette[rng.integers(len(palette))], np.float32)
    return base + np.float32(rng.uniform(-14, 14)) + rng.uniform(-7, 7, 3).astype(np.float32)


def shade(
    pixels: np.ndarray, rng: np.random.Generator, *, strength: float = 0.12, persistence: float = 0.45
) -> np.ndarray:
    """Darken and lighten float32 (h,w,3) by layered noise: stains, dirt, grain."""
    height, width = pixels.shape[:2]
    return pixels * (1 + strength * noise(rng, height, width, persistence=persistence))[..., None]


def masonry(
    rng: np.random.Generator, height: int, width: int, *, row: float, length: float, colour: np.ndarray
) -> np.ndarray:
    """Bricks or blocks of random length and colour with mortar; `row` and `length` in pixels; float32 (h,w,3)."""
    rows = int(height / row) + 2
    per_row = int(width / length) + 4
    cuts = np.cumsum(rng.uniform(0.6, 1.4, (rows, per_row)) * length, axis=1) - rng.uniform(0, 2 * length, (rows, 1))
    wobble = noise(rng, height, width, cells=12, persistence=0.5) * 0.05 * row
    y = np.arange(height, dtype=np.float32)[:, None] + wobble
    row_index = np.clip((y / row).astype(np.int32), 0, rows - 1)
    x = np.arange(width, dtype=np.float32)
    tones = colour * (1 + 0.11 * rng.standard_normal((rows, per_row + 1, 1), dtype=np.float32))
    tones = tones + 3 * rng.standard_normal((rows, per_row + 1, 3), dtype=np.float32)
    column = np.stack([np.searchsorted(row_cuts, x) for row_cuts in cuts])  # the brick of every x in every row
    left = np.take_along_axis(np.pad(cuts, ((0, 0), (1, 0)), constant_values=-1e9), column, axis=1)
    brick = (column + np.arange(rows)[:, None] * (per_row + 1))[row_index, np.arange(width)]
    joint = (x - left < 0.07 * row + 1)[row_index, np.arange(width)]
    joint |= (y / row) % 1 < 0.08
    pixels = tones.reshape(-1, 3)[brick]
    pixels[joint] = colour * 0.55 + 40
    return pixels


def plaster(rng: np.random.Generator, height: int, width: int, *, colour: np.ndarray) -> np.ndarray:
    """Painted plaster with patches fallen off; float32 (h,w,3)."""
    pixels = np.broadcast_to(colour, (height, width, 3)).astype(np.float32)
    bare = noise(rng, height, width, cells=5) > 1.1
    pixels[bare] = pixels[bare] * 0.62 + 20
    return pixels


def ground(rng: np.random.Generator, height: int, width: int, *, green: bool) -> np.ndarray:
    """Paving or grass with pebbles and stains; uint8 (h,w,3)."""
    colour = np.array([96, 108, 62] if green else [128, 122, 114], np.float32)
    colour = colour + np.float32(rng.uniform(-14, 14)) + rng.uniform(-6, 6, 3).astype(np.float32)
    pixels = np.broadcast_to(colour, (height, width, 3)).astype(np.float32)
    if not green:
        size = float(rng.uniform(0.025, 0.06)) * height
        pixels = masonry(rng, height, width, row=size, length=size * float(rng.uniform(0.9, 2)), colour=colour)
    pixels = shade(pixels, rng, strength=0.16, persistence=0.5)
    spots = noise(rng, height, width, cells=max(4, height // 40), persistence=0.5) > 2
    pixels[spots] *= 0.6
    return to_bytes(pixels)


def rock(rng: np.random.Generator, height: int, width: int, *, colour: np.ndarray) -> np.ndarray:
    """Rough stone or bronze: grain, veins and lichen; uint8 (h,w,3)."""
    pixels = np.broadcast_to(colour, (height, width, 3)).astype(np.float32)
    pixels = shade(pixels, rng, strength=0.26, persistence=0.52)
    veins = np.abs(noise(rng, height, width, cells=4, persistence=0.7)) < 0.05
    pixels[veins] *= 0.5
    lichen = noise(rng, height, width, cells=10, persistence=0.55) > 1.4
    pixels[lichen] = 0.4 * pixels[lichen] + 0.6 * np.array(random_colour(rng, low=110, high=210), np.float32)
    return to_bytes(pixels)


def leaves(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Foliage; uint8 (h,w,3)."""
    tone = noise(rng, height, width, cells=max(8, height // 40), persistence=0.55)[..., None]
    hue = noise(rng, height, width, cells=6)[..., None]
    base = np.array([62, 88, 40], np.float32) + rng.uniform(-12, 22, 3).astype(np.float32)
    return to_bytes(base * (1 + 0.42 * tone) + hue * np.array([12, 4, -2], np.float32))


def word(rng: np.random.Generator) -> str:
    text = "".join(_SYLLABLES[i] for i in rng.integers(len(_SYLLABLES), size=rng.integers(2, 4)))
    return text.upper() if rng.random() < 0.5 else text.capitalize()


@cache
def _font_folder() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_folder() / f"DejaVu{name}.ttf", size)


def lettering(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: Colour
) -> None:
    """Write a made-up word so that it fills `box` (left, top, right, bottom)."""
    left, top, right, bottom = box
    text = word(rng)
    name = _FONTS[rng.integers(len(_FONTS))]
    size = max(6, int(bottom - top))
    length = _font(name, size).getlength(text)
    if length > right - left:
        size = max(6, int(size * (right - left) / length))
    draw.text(((left + right) / 2, (top + bottom) / 2), text, colour, _font(name, size), anchor="mm")


def poster(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A painted sign or poster: a blotched picture, shapes and a line of text."""
    pixels = np.empty((height, width, 3), np.float32)
    first, second = np.array([random_colour(rng), random_colour(rng)])
    mix = noise(rng, height, width, cells=3, persistence=0.7)[..., None] > rng.uniform(-0.6, 0.6)
    pixels[:] = np.where(mix, first, second)
    picture = Image.fromarray(to_bytes(shade(pixels, rng, strength=0.14)))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(3, 8))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        a, b = rng.uniform(0.05, 0.3, 2) * min(height, width)
        shape: Callable[..., None] = (draw.ellipse, draw.rectangle)[int(rng.integers(2))]
        shape((x - a, y - b, x + a, y + b), fill=random_colour(rng), outline=random_colour(rng), width=2)
    line = max(8, height // int(rng.integers(3, 6)))
    y = int(rng.uniform(0, max(1, height - line)))
    lettering(rng, draw, (4, y, width - 4, y + line), random_colour(rng, low=0, high=255))
    return picture


def window(rng: np.random.Generator, height: int, width: int, frame: Colour) -> Image.Image:
    """A window pane: reflections, a curtain or things on the sill, and the frame with its bars."""
    glass = (
        np.array([48, 58, 70], np.float32) + np.float32(rng.uniform(-18, 26)) + rng.uniform(-6, 6, 3).astype(np.float32)
    )
    pixels = glass * (1 + 0.5 * noise(rng, height, width, cells=2, persistence=0.7))[..., None]
    picture = Image.fromarray(to_bytes(pixels))
    draw = ImageDraw.Draw(picture)
    style = rng.integers(4)
    if style == 0:  # curtains
        for side in (0, 1):
            reach = rng.uniform(0.15, 0.45) * width
            tone = random_colour(rng, low=90)
            for step in range(0, int(reach), max(3, width // 24)):
                fold = tuple(int(c * rng.uniform(0.6, 1)) for c in tone)
                at = step if side == 0 else width - step
                draw.rectangle((at - width // 40, 0, at + width // 40, height), fill=fold)
    elif style == 1:  # blind
        drop = int(rng.uniform(0.2, 0.8) * height)
        draw.rectangle((0, 0, width, drop), fill=random_colour(rng, low=110))
        for y in range(0, drop, max(4, height // 30)):
            draw.line((0, y, width, y), fill=(70, 70, 66), width=1)
    for _ in range(int(rng.integers(1, 5))):  # things on the sill
        x, size = rng.uniform(0, width), rng.uniform(0.08, 0.22) * width
        draw.ellipse((x - size, height - 2.4 * size, x + size, height), fill=random_colour(rng))
    bar = max(2, width // 22)
    for x in np.linspace(0, width, int(rng.integers(2, 4)) + 1):
        draw.rectangle((x - bar, 0, x + bar, height), fill=frame)
    for y in np.linspace(0, height, int(rng.integers(2, 4)) + 1):
        draw.rectangle((0, y - bar, width, y + bar), fill=frame)
    return picture


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels, 0, 255).astype(np.uint8)
