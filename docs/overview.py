"""Draw docs/images/overview.jpg from the workspace of a demo: pairs, their evidence and their codes.

hashpipe demo && python docs/overview.py hashpipe-demo/workspace
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hashpipe.hashing.codes.packing import signs
from hashpipe.hashing.data.images import from_pairset
from hashpipe.hashing.models.network import load_model
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset
from hashpipe.pairgen.photos.load import load_upright

TARGET = Path(__file__).with_name("images") / "overview.jpg"
WIDTH, HEIGHT, GAP, CODE, CAPTION = 300, 225, 8, 22, 34  # pixels
GREEN, RED, INK, PAPER = (38, 132, 71), (181, 52, 44), (34, 34, 34), (255, 255, 255)


def choose(pairset: PairSet) -> list[dict]:
    """Two similar pairs with a change of view and two dissimilar ones that look alike, each of other places."""
    table = pairset.pairs.to_pylist()
    query, place = pairset.photo_column("query"), pairset.photo_column("place")
    held_out = [row for row in table if query[row["a"]] != query[row["b"]]]  # codes of photos not learnt from
    similar = [row for row in held_out if row["label"] == 1 and not row["near_duplicate"] and _landscape(pairset, row)]
    split = pairset.photos["split"].to_pylist()
    similar.sort(
        key=lambda row: (split[row["a"]] != "train", row["kind"] != "covisible", abs(row["view_angle_deg"] - 22))
    )
    alike = [row for row in table if row["label"] == -1 and row["inliers"] >= 0 and _landscape(pairset, row)]
    alike.sort(key=lambda row: -row["similarity"])
    chosen: list[dict] = []
    for rows in (similar, alike):
        seen: set[int] = set()
        for row in rows:
            places = {int(place[row["a"]]), int(place[row["b"]])}
            if len(seen & places) == 0 and sum(one["label"] == row["label"] for one in chosen) < 2:
                chosen.append(row)
                seen |= places
    return chosen


def _landscape(pairset: PairSet, row: dict) -> bool:
    width, height = pairset.photo_column("width"), pairset.photo_column("height")
    return all(width[row[side]] > height[row[side]] for side in ("a", "b"))


def draw(workspace: Path) -> Image.Image:
    pairset = read_pairset(workspace / "pairs")
    model = load_model(workspace / "model")
    bits = max(model.bits)
    paths, rows = pairset.photo_paths(), choose(pairset)
    cell = (2 * WIDTH + GAP, HEIGHT + CODE + CAPTION)
    sheet = Image.new("RGB", (2 * cell[0] + 5 * GAP, 2 * cell[1] + 3 * GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for number, row in enumerate(rows):
        left = GAP + (number % 2) * (cell[0] + 3 * GAP)
        top = GAP + (number // 2) * (cell[1] + GAP)
        color = GREEN if row["label"] == 1 else RED
        shown = from_pairset(pairset).subset([row["a"], row["b"]])
        seen = model.seen(shown, model.describer.describe(shown), None)
        code = signs(model.codes_input(seen, bits), model.thresholds[bits])
        for side, photo in enumerate((row["a"], row["b"])):
            x = left + side * (WIDTH + GAP)
            picture = load_upright(paths[photo], 2 * WIDTH).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
            sheet.paste(picture, (x, top))
            pen.rectangle((x - 2, top - 2, x + WIDTH + 1, top + HEIGHT + 1), outline=color, width=3)
            for bit, on in enumerate(code[side]):
                edges = [x + round(at * WIDTH / bits) for at in (bit, bit + 1)]
                differs = code[0][bit] != code[1][bit]
                fill = (color if differs else INK) if on else PAPER
                pen.rectangle((edges[0], top + HEIGHT + 5, edges[1] - 1, top + HEIGHT + CODE), fill=fill)
            pen.rectangle((x, top + HEIGHT + 5, x + WIDTH - 1, top + HEIGHT + CODE), outline=INK)
        text = f"{caption(row)}; codes differ in {int(np.sum(code[0] != code[1]))} of {bits} bits"
        pen.text((left, top + HEIGHT + CODE + 7), text, fill=color, font=font)
    return sheet


def caption(row: dict) -> str:
    if row["label"] == 1:
        return f"similar: {row['shared_points']} common 3D points, {row['view_angle_deg']:.0f}° apart"
    return "dissimilar: matched, no common geometry"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    draw(Path(sys.argv[1])).save(TARGET, quality=86, optimize=True)
