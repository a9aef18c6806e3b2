"""The model card: a page in the model folder that says what the model is, what it learnt from and how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hashpipe.common.files import read_json, write_text

CARD, PAGE = "README.md", "card.html"
_SCORES = "## Scores"


def write_card(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the card of a model folder from what its config.json holds; scores come later (add_scores)."""
    write_text(Path(folder) / CARD, "\n".join([*_lines(config), _SCORES, "", *_no_scores(), ""]))


def add_scores(folder: Path, fingerprint: str, rows: Iterable[Mapping[str, Any]]) -> bool:
    """Replace the card's scores by those of the rows of an evaluation; False where this is not the model scored.

    rows: protocol, method, bits, metric, value; at metric "map" those of the model and of what it is compared with.
    """
    path = Path(folder) / CARD
    if not path.exists() or read_json(Path(folder) / "config.json").get("fingerprint") != fingerprint:
        return False
    text = path.read_text(encoding="utf-8")
    table: dict[tuple[str, str], dict[Any, float]] = {}
    for row in rows:
        if row["metric"] == "map" and row["value"] is not None:
            table.setdefault((row["protocol"], row["method"]), {})[row["bits"]] = float(row["value"])
    lengths = sorted({bits for found in table.values() for bits in found if bits is not None})
    lines = ["Mean average precision of `hashpipe eval`, beside the baselines on the same descriptors.", ""]
    lines += ["| protocol | method | " + " | ".join(f"{bits} bits" for bits in lengths) + " |"]
    lines += ["|---|---|" + "---|" * len(lengths)]
    for (protocol, method), found in table.items():
        cells = [found.get(bits, found.get(None)) for bits in lengths]
        lines.append(f"| {protocol} | {method} | " + " | ".join("" if v is None else f"{v:.3f}" for v in cells) + " |")
    if not table:
        lines = _no_scores()
    write_text(path, text[: text.rindex(_SCORES)] + "\n".join([_SCORES, "", *lines, ""]))
    return True


def write_page(folder: Path) -> None:
    """Write the card, where there is one, once more as a page, with the pictures of the training that lie beside it."""
    if not (Path(folder) / CARD).exists():
        return
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from hashpipe.common.pages import fill

    text = (Path(folder) / CARD).read_text(encoding="utf-8").partition("\n")[2]
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    pictures = [f"plots/{path.name}" for path in sorted((Path(folder) / "plots").glob("*.png"))]
    fingerprint = read_json(Path(folder) / "config.json").get("fingerprint", "")
    page = fill("hashpipe.hashing.models", "card.html", text=Markup(html), pictures=pictures, fingerprint=fingerprint)
    write_text(Path(folder) / PAGE, page)


def _lines(config: Mapping[str, Any]) -> list[str]:
    options, describer = config["options"], config["describer"]
    origin = "class labels" if config["source"].get("labels") else "3D"
    pairs = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in config["pairs"].items()) or "none"
    lines = [
        "# Model card",
        "",
        f"Binary codes of {', '.join(map(str, config['bits']))} bits for photos, learnt {_how(config)} by hashpipe.",
        "",
        "| | |",
        "|---|---|",
        f"| fingerprint | `{config['fingerprint']}`; codes of other models do not compare with this one's |",
        f"| learnt from | {config['photos']} photos ({_source(config['source'])}) |",
        f"| pairs from {origin} | {pairs} |",
        f"| objective | {config['objective']}, seed {config['seed']} |",
        f"| descriptor | {_describer(describer)} |",
        f"| thresholds | {'medians over the training photos' if config['centred'] else 'near 0, not re-centred'} |",
    ]
    if options.get("head", "linear") != "linear":
        lines.append(f"| head | {options['head']} |")
    if config.get("adapted_from"):
        lines.append(f"| adapted from | model `{config['adapted_from']}` |")
    tune = options.get("tune", {}).get("finetune", "none")
    if tune != "none":
        lines.append(f"| fine-tuned | layers of the network: {tune} |")
    lines += ["", "## Use", "", "Finds photos of the same place or object again among photos like those learnt from."]
    lines += [
        "It does not recognise persons or kinds of things, and its accuracy on other kinds of photos is unknown.",
        "",
    ]
    lines += [*(f"- {note}." for note in config.get("notes", [])), ""] if config.get("notes") else []
    return [*lines, "## Licences", "", *_licences(describer), ""]


def _how(config: Mapping[str, Any]) -> str:
    return "WITH CLASS LABELS of a benchmark" if config["source"].get("labels") else "without labels"


def _source(source: Mapping[str, Any]) -> str:
    if "pairs" in source:
        return f"pairs `{source['pairs']}` of a workspace"
    if "benchmark" in source:
        return f"training split of {source['benchmark']}, `{source['fingerprint']}`"
    return f"a folder or list, `{source.get('fingerprint')}`"


def _describer(describer: Mapping[str, Any]) -> str:
    if describer["backbone"] == "vlad":
        return f"VLAD of SIFT, {describer['words']} words, longest side {describer['image_size']} pixels"
    if describer["backbone"] == "onnx":
        return f"ONNX graph {describer['graph']} (SHA-256 {describer['sha256']}), {describer['image_size']} pixels"
    scales = f", at scales {', '.join(f'{one:g}' for one in describer['scales'])}" if "scales" in describer else ""
    size = f"longest side {describer['image_size']} pixels"
    return f"{describer['backbone']}, {describer['pooling']} pooling, {size}{scales}"


def _licences(describer: Mapping[str, Any]) -> list[str]:
    if describer["backbone"] == "vlad":
        return ["The visual words were learnt on the photos named above; no foreign weights are in this model."]
    return [
        "hashpipe does not know the licence of the network's weights. Check the terms of their source and of the",
        "photos that they were trained on. The photos learnt from are not in this folder.",
    ]


def _no_scores() -> list[str]:
    return ["Not evaluated yet; `hashpipe eval` writes its scores here."]
