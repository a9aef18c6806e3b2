"""House fronts: a painted wall with windows, doors, signs and ledges, and the relief that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from hashpipe.pairgen.synthetic import textures as tx


@dataclass
class Facade:
    """A wall of `width` x `height` metres, painted at `density` pixels per metre.

    picture  uint8 (h,w,3), top row = top of the wall
    blocks   (x0, x1, z0, z1, depth) in metres; depth > 0 stands out of the wall, < 0 is set back; later ones win
    """

    width: float
    height: float
    density: float
    picture: np.ndarray
    blocks: list[tuple[float, float, float, float, float]] = field(default_factory=list)

    def quads(self) -> tuple[np.ndarray, np.ndarray]:
        """The relief as quadrilaterals: corners float (q,4,3) = (along, up, out), metres; uv float (q,4,2), pixels."""
        xs = np.unique(np.clip([0, self.width, *(v for b in self.blocks for v in b[:2])], 0, self.width))
        zs = np.unique(np.clip([0, self.height, *(v for b in self.blocks for v in b[2:4])], 0, self.height))
        depth = np.zeros((len(zs) - 1, len(xs) - 1))
        x_mid, z_mid = (xs[1:] + xs[:-1]) / 2, (zs[1:] + zs[:-1]) / 2
        for x0, x1, z0, z1, d in self.blocks:
            depth[np.ix_((z_mid > z0) & (z_mid < z1), (x_mid > x0) & (x_mid < x1))] = d
        corners: list[list[tuple[float, float, float]]] = []
        paint: list[list[tuple[float, float]]] = []
        rows, columns = depth.shape
        for r in range(rows):
            for c in range(columns):
                x0, x1, z0, z1, d = xs[c], xs[c + 1], zs[r], zs[r + 1], depth[r, c]
                corners.append([(x0, z1, d), (x1, z1, d), (x1, z0, d), (x0, z0, d)])
                paint.append([(x0, z1), (x1, z1), (x1, z0), (x0, z0)])
                right = depth[r, c + 1] if c + 1 < columns else -0.6
                if right != d:  # the step to the next cell, painted like the strip of wall beside it
                    corners.append([(x1, z1, d), (x1, z1, right), (x1, z0, right), (x1, z0, d)])
                    reach = x1 - abs(d - right)
                    paint.append([(x1, z1), (reach, z1), (reach, z0), (x1, z0)])
                if c == 0 and d != -0.6:
                    corners.append([(x0, z1, -0.6), (x0, z1, d), (x0, z0, d), (x0, z0, -0.6)])
                    paint.append([(x0 + 0.6 + d, z1), (x0, z1), (x0, z0), (x0 + 0.6 + d, z0)])
                above = depth[r + 1, c] if r + 1 < rows else -0.6
                if above != d:
                    corners.append([(x0, z1, above), (x1, z1, above), (x1, z1, d), (x0, z1, d)])
                    reach = z1 - abs(d - above)
                    paint.append([(x0, reach), (x1, reach), (x1, z1), (x0, z1)])
        uv = np.array(paint)
        uv = np.stack([uv[..., 0] * self.density, (self.height - uv[..., 1]) * self.density], -1)
        rows_px, columns_px = self.picture.shape[:2]
        return np.array(corners), np.clip(uv, 0, [columns_px - 1, rows_px - 1]).astype(np.float32)


def paint_facade(rng: np.random.Generator, width: float, height: float, detail: float = 1.0) -> Facade:
    """Invent a house front."""
    density = 130.0 * detail
    rows, columns = int(height * density), int(width * density)
    colour = tx.earthy(rng)
    style = rng.integers(3)
    if style == 0:
        wall = tx.masonry(rng, rows, columns, row=0.12 * density, length=0.34 * density, colour=colour)
    elif style == 1:
        wall = tx.masonry(rng, rows, columns, row=0.38 * density, length=0.8 * density, colour=colour)
    else:
        wall = tx.plaster(rng, rows, columns, colour=colour)
    picture = Image.fromarray(tx.to_bytes(tx.shade(wall, rng, strength=0.12, persistence=0.48)))
    facade = Facade(width, height, density, np.empty(0), [])
    painter = _Painter(facade, picture, rng)
    floors = max(1, int(height / rng.uniform(2.7, 3.4)))
    floor = (height - 0.5) / floors
    bays = max(1, int(width / rng.uniform(1.8, 2.6)))
    bay = width / bays
    trim = tx.random_colour(rng, low=60)
    if rng.random() < 0.7:  # pilasters
        for c in range(bays + 1):
            painter.block(c * bay - 0.16, c * bay + 0.16, 0, height - 0.5, float(rng.uniform(0.12, 0.3)), tint=0.9)
    for f in range(floors):
        base = f * floor
        if f:
            painter.block(0, width, base - 0.12, base + 0.1, float(rng.uniform(0.12, 0.35)), tint=1.12)
        for c in range(bays):
            _opening(painter, c * bay, base, bay, floor, street=f == 0, trim=trim)
    painter.block(0, width, height - 0.45, height, 0.45, tint=0.85)
    picture = painter.picture
    facade.picture = tx.to_bytes(np.asarray(picture, np.float32) * (1 + 0.07 * tx.noise(rng, rows, columns))[..., None])
    return facade


def _opening(painter: _Painter, x: float, z: float, bay: float, floor: float, *, street: bool, trim: tx.Colour) -> None:
    """Fill one bay of one floor: window, door, shop front, blind wall with posters."""
    rng = painter.rng
    choice = rng.random()
    wide = bay * rng.uniform(0.42, 0.62)
    left = x + (bay - wide) / 2 + rng.uniform(-0.1, 0.1)
    if street and choice < 0.3:
        painter.window(left, left + wide, z, z + min(2.3, floor * 0.8), -float(rng.uniform(0.3, 0.6)), trim)
        painter.sign(left - 0.15, left + wide + 0.15, z + min(2.35, floor * 0.82), z + min(2.75, floor * 0.95), 0.18)
    elif choice < (0.55 if street else 0.2):
        tall = rng.uniform(0.5, 0.8) * floor
        low = z + rng.uniform(0.15, 0.3) * floor
        painter.sign(left, left + wide, low, min(low + tall, z + floor - 0.15), float(rng.uniform(0.04, 0.12)))
    else:
        low = z + 0.28 * floor
        top = low + rng.uniform(0.45, 0.58) * floor
        painter.block(left - 0.12, left + wide + 0.12, low - 0.12, top + 0.14, 0.07, tint=float(rng.uniform(0.75, 1.3)))
        painter.window(left, left + wide, low, top, -float(rng.uniform(0.18, 0.4)), trim)
        if rng.random() < 0.35:
            painter.sign(left - 0.2, left + wide + 0.2, low - 0.55, low, float(rng.uniform(0.35, 0.7)))
        else:
            painter.block(left - 0.18, left + wide + 0.18, low - 0.16, low - 0.04, 0.22, tint=1.2)


class _Painter:
    """Paints a picture and carves the same rectangle into the relief. Coordinates in metres from the lower left."""

    def __init__(self, facade: Facade, picture: Image.Image, rng: np.random.Generator) -> None:
        self.facade, self.picture, self.rng = facade, picture, rng

    def _box(self, x0: float, x1: float, z0: float, z1: float) -> tuple[int, int, int, int]:
        d, height = self.facade.density, self.facade.height
        return int(x0 * d), int((height - z1) * d), int(x1 * d), int((height - z0) * d)

    def block(self, x0: float, x1: float, z0: float, z1: float, depth: float, *, tint: float) -> None:
        left, top, right, bottom = self._box(x0, x1, z0, z1)
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, self.picture.width), min(bottom, self.picture.height)
        if right - left < 2 or bottom - top < 2:
            return
        part = np.asarray(self.picture.crop((left, top, right, bottom)), np.float32) * tint
        part = tx.shade(part + self.rng.uniform(-12, 12), self.rng, strength=0.1)
        self.picture.paste(Image.fromarray(tx.to_bytes(part)), (left, top))
        ImageDraw.Draw(self.picture).rectangle((left, top, right - 1, bottom - 1), outline=(60, 56, 52))
        self.facade.blocks.append((x0, x1, z0, z1, depth))

    def window(self, x0: float, x1: float, z0: float, z1: float, depth: float, trim: tx.Colour) -> None:
        left, top, right, bottom = self._box(x0, x1, z0, z1)
        if right - left < 8 or bottom - top < 8:
            return
        self.picture.paste(tx.window(self.rng, bottom - top, right - left, trim), (left, top))
        self.facade.blocks.append((x0, x1, z0, z1, depth))

    def sign(self, x0: float, x1: float, z0: float, z1: float, depth: float) -> None:
        left, top, right, bottom = self._box(x0, x1, z0, z1)
        if right - left < 8 or bottom - top < 8:
            return
        self.picture.paste(tx.poster(self.rng, bottom - top, right - left), (left, top))
        self.facade.blocks.append((x0, x1, z0, z1, depth))
