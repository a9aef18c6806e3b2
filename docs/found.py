"""Draw docs/images/found.jpg from the workspace of a demo: held-out photos, the nearest photos, and their codes.

hashpipe demo && python docs/found.py hashpipe-demo/workspace
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hashpipe.hashing.codes.codes_file import CodeSet, read_codes
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset
from hashpipe.pairgen.photos.load import load_upright

TARGET = Path(__file__).with_name("images") / "found.jpg"
SHOWN, ROWS = 4, 3  # photos found for each query, queries
SIDE, GAP, CODE, CAPTION, APART = 232, 10, 18, 26, 26  # pixels
GREEN, RED, INK, PALE, PAPER = (38, 132, 71), (181, 52, 44), (34, 34, 34), (225, 225, 225), (255, 255, 255)


def queries(pairset: PairSet, codes: CodeSet) -> list[int]:
    """Rows of held-out photos in the codes: the first of the first place of each split, then of further places."""
    rows, taken = {sha: row for row, sha in enumerate(codes.sha256)}, set()
    table = [one for one in pairset.photos.to_pylist() if one["query"] and one["sha256"] in rows]
    table.sort(key=lambda one: (one["place"], one["photo"]))
    first = [next(one for one in table if one["split"] == split) for split in ("train", "test")]
    chosen = []
    for one in [*first, *table]:
        if one["place"] not in taken and len(chosen) < ROWS:
            taken.add(one["place"])
            chosen.append(rows[one["sha256"]])
    return chosen


def draw(workspace: Path) -> Image.Image:
    pairset, codes = read_pairset(workspace / "pairs"), read_codes(workspace / "codes.parquet")
    place = dict(zip(pairset.photos["sha256"].to_pylist(), pairset.photo_column("place").tolist(), strict=True))
    bits = np.unpackbits(codes.codes, axis=1, bitorder="little")[:, : codes.space.bits]
    width, height = GAP + (SHOWN + 1) * (SIDE + GAP) + APART, SIDE * 3 // 4 + CODE + CAPTION + GAP
    sheet = Image.new("RGB", (width, ROWS * height + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for line, query in enumerate(queries(pairset, codes)):
        distance = (bits != bits[query]).sum(axis=1)
        near = [row for row in np.argsort(distance, kind="stable") if row != query][:SHOWN]
        for column, row in enumerate([query, *near]):
            x, y = GAP + column * (SIDE + GAP) + APART * (column > 0), GAP + line * height
            same = place[codes.sha256[row]] == place[codes.sha256[query]] >= 0
            color = INK if row == query else GREEN if same else RED
            photo = load_upright(Path(codes.root) / codes.paths[row], 2 * SIDE)
            cut = photo.height > photo.width  # portraits lose their top and bottom
            if cut:
                edge = (photo.height - photo.width * 3 // 4) // 2
                photo = photo.crop((0, edge, photo.width, photo.height - edge))
            sheet.paste(photo.resize((SIDE, SIDE * 3 // 4), Image.Resampling.LANCZOS), (x, y))
            pen.rectangle((x - 2, y - 2, x + SIDE + 1, y + SIDE * 3 // 4 + 1), outline=color, width=3)
            top = y + SIDE * 3 // 4 + 5
            for bit, on in enumerate(bits[row]):
                edges = [x + round(at * SIDE / len(bits[row])) for at in (bit, bit + 1)]
                fill = color if bits[query][bit] != on else INK if on else PALE
                pen.rectangle((edges[0], top, edges[1] - 1, top + CODE - 4), fill=fill)
            said = "held-out photo" if row == query else f"{distance[row]} bits apart"
            pen.text((x, top + CODE - 3), said, fill=color, font=font)
    return sheet


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    draw(Path(sys.argv[1])).save(TARGET, quality=84, optimize=True)
