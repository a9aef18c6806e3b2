"""Write the figures of README.md from docs/results/*.json; with --check only say whether they agree.

README names a block as pages of results do (`docs/results.py`). Run it as `make docs`. Exit code 1: out of date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.with_name("README.md")
MARKED = re.compile(r"<!-- figures: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
_QUERIES = {
    "known places": "new photos of known places",
    "places without 3D labels": "photos of places without 3D labels",
    "places never seen": "places not in the training photos",
}
_BASELINES = ("ITQ", "ITQ re-centred", "PCA signs", "PCA signs re-centred")


def _tables() -> dict[str, list[dict[str, Any]]]:
    """Rows by column, of every table of the results."""
    found = {}
    for path in sorted((HERE / "results").glob("*.json")):
        for table in json.loads(path.read_text(encoding="utf-8"))["tables"]:
            found[table["name"]] = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return found


def _share(value: float) -> str:
    return re.sub(r"^0", "", f"{value:.3f}")


def accuracy(tables: dict[str, list[dict[str, Any]]]) -> str:
    """mAP of codes and, in parentheses, the best baseline; bold where the lead exceeds its standard error."""
    rows = tables["codes_mobilenet_v2"]
    lengths = sorted({row["bits"] for row in rows})
    lines = [f"| queries | {' | '.join(f'{bits} bits' for bits in lengths)} | float descriptor |"]
    lines.append("|" + "---|" * (len(lengths) + 2))
    for name, said in _QUERIES.items():
        cells = []
        for bits in lengths:
            (row,) = [one for one in rows if one["queries"] == name and one["bits"] == bits]
            best = max(row[baseline] for baseline in _BASELINES)
            ours = _share(row["joint"])
            lead, error = row["lead"]
            cells.append(f"{f'**{ours}**' if lead > error else ours} ({_share(best)})")
        lines.append(f"| {said} | {' | '.join(cells)} | {_share(row['float'])} |")
    return "\n".join(lines) + "\n"


def pairs(tables: dict[str, list[dict[str, Any]]]) -> str:
    """What `pairs build` found among the development photos."""
    found = {row["what"]: row["figure"] for row in tables["pairs-build"]}
    places = re.match(r"(\d+) of (\d+)", found["places"])
    apart = re.match(r"(\d+) hard and ([\d,]+) drawn; .*inside a spot (\d+)$", found["dissimilar pairs"])
    assert places and apart and found["similar pairs"].endswith("across two spots 0")  # noqa: PT018
    total = int(apart[1]) + int(apart[2].replace(",", ""))
    return (
        f"`pairs build` found {places[1]} of {places[2]} places. No similar pair joins two places. {apart[3]} of the "
        f"{total:,}\ndissimilar pairs are debatable: different subjects on the same square\n"
        "([docs/results/pairs.md](docs/results/pairs.md)).\n"
    )


def speed(tables: dict[str, list[dict[str, Any]]]) -> str:
    """Times on two cores without a GPU."""
    built = {row["what"]: row["figure"] for row in tables["pairs-build"]}
    whole = {row["what"]: row["figure"] for row in tables["speed-summary"]}
    added = next(figure for what, figure in whole.items() if what.endswith("then ten more")).split(", ")[1]
    exact = next(figure for what, figure in whole.items() if what.startswith("evaluation: exact mAP, 1,000 queries"))
    encode = {row["runtime"]: row["encode"] for row in tables["speed-encode"] if row["photos"].startswith("small")}
    search = next(row["whole"] for row in tables["speed-search"] if row["network runs in"] == "the exported graph")
    rows = [
        ("`pairs build`, 584 photos", f"{built['time'].split(':')[0]}, {built['peak memory'].split(' (')[0]}"),
        ("ten photos more", added),
        (
            "`encode` with MobileNetV2 at 384 pixels",
            f"{encode['OpenVINO']} photos a second (OpenVINO), {encode['ONNX Runtime']} (ONNX Runtime), "
            f"{encode['torch']} (torch)",
        ),
        ("`search` among a million codes, start-up included", f"{search} s"),
        ("exact mAP of 1,000 queries among 59,000 codes, one thread", exact),
    ]
    return "| what | time |\n|---|---|\n" + "".join(f"| {what} | {time} |\n" for what, time in rows)


BLOCKS = {"accuracy": accuracy, "pairs": pairs, "speed": speed}


def filled(text: str) -> str:
    tables = _tables()
    return MARKED.sub(lambda found: f"<!-- figures: {found[1]} -->\n{BLOCKS[found[1]](tables)}<!-- end -->", text)


def main(check: bool) -> None:
    text = PAGE.read_text(encoding="utf-8")
    if check and filled(text) != text:
        sys.exit("README.md does not agree with docs/results; run `make docs`.")
    if not check:
        PAGE.write_text(filled(text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] == ["--check"])
