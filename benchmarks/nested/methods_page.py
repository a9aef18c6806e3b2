"""The table of methods as one offline page that can be sorted by a click, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hashpipe.common.pages import fill_text

TEMPLATE = Path(__file__).with_name("methods.html")


def page(content: dict[str, Any]) -> str:
    """HTML of the content of methods.json."""
    return fill_text(TEMPLATE.read_text(encoding="utf-8"), shown=_shown, **content)


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def picture(tables: Sequence[dict[str, Any]], path: Path) -> None:
    """Quality against code length, and against the time to learn, one row for each descriptor; SVG."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(tables), 2, figsize=(11, 4.2 * len(tables)), squeeze=False)
    for (left, right), table in zip(axes, tables, strict=True):
        at = [number for number, name in enumerate(table["columns"]) if name.startswith("adapted ")]
        lengths = [int(table["columns"][number].split()[1]) for number in at]
        seconds = table["columns"].index("seconds to learn")
        for row in table["rows"]:
            values, bold = [row[number] for number in at], row[0] in ("joint", "itq")
            if None in values:
                continue
            left.plot(
                lengths, values, lw=2.2 if bold else 0.8, alpha=1 if bold else 0.6, label=row[0] if bold else None
            )
            if row[seconds] is not None:
                right.scatter(row[seconds], values[0], s=14)
                right.annotate(row[0], (row[seconds], values[0]), fontsize=6, xytext=(3, 2), textcoords="offset points")
        left.set(xscale="log", xticks=lengths, xticklabels=lengths, xlabel="bits", ylabel="mAP, adapted places")
        left.set_title(table["caption"].split(":")[0])
        left.legend(loc="lower right")
        right.set(xlabel="seconds to learn one code length", ylabel=f"mAP, adapted places, {lengths[0]} bits")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
