"""The benchmarks as text for people: the list, one benchmark in full, and what was found on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.hashing.benchmarks.fetch import check_file, size_of
from hashpipe.hashing.benchmarks.manifests import Manifest, all_manifests, find_manifest


@dataclass(frozen=True)
class Page:
    """A result for the command line."""

    content: dict[str, Any]
    text: str

    def as_json(self) -> dict[str, Any]:
        return self.content

    def as_text(self) -> str:
        return self.text


def listing() -> Page:
    """Every benchmark in one line."""
    manifests = all_manifests().values()
    width = max(len(one.name) for one in manifests)
    lines = [f"{one.name:<{width}}  {one.download:<9}  {one.title}" for one in manifests]
    lines.append(
        "`hashpipe benchmarks show NAME` says more; score one with `hashpipe eval --benchmark NAME --root DIR`."
    )
    return Page({"benchmarks": [one.as_json() for one in manifests]}, "\n".join(lines))


def description(name: str) -> Page:
    """One manifest in full."""
    manifest = find_manifest(name.split("/")[0])
    return Page(manifest.as_json(), manifest_text(manifest))


def manifest_text(manifest: Manifest) -> str:
    """A manifest as plain text."""
    lines = [f"{manifest.title} ({manifest.name})", "", manifest.what, ""]
    for label, value in (
        ("home", manifest.home),
        ("licence", manifest.licence),
        ("terms", manifest.terms),
        ("cite", manifest.citation),
        ("download", manifest.download),
        ("--root", manifest.tree),
    ):
        lines.append(f"{label + ':':<10}{value}")
    lines += [f"  step {i}: {step}" for i, step in enumerate(manifest.steps, start=1)]
    if manifest.name in _with_training():
        lines.append(f"learn:    hashpipe train --benchmark {manifest.name} --root PATH -w NEW")
    lines += ["", "Protocols"]
    for table in manifest.protocols:
        lines.append(f"  {manifest.name}/{table['name']}: {table['what']}")
        seed = f", seed {table['seed']}" if "seed" in table else ""
        lines.append(f"    metrics {', '.join(table['metrics'])}; AP divided by {table['normaliser']}{seed}")
    if manifest.files:
        lines += ["", "Files"]
        for file in manifest.files:
            lines.append(f"  {file.name}: {size_of(file)}, {file.checksum or 'no checksum published'}")
            lines.append(f"    {file.url}{f' ({file.note})' if file.note else ''}")
    lines += ["", "Pitfalls", *(f"  - {one}" for one in manifest.pitfalls)]
    return "\n".join(lines)


def markdown() -> str:
    """docs/benchmarks.md: every manifest, for reading. A test compares the file with this text."""
    parts = [
        "# Benchmarks",
        "",
        "Generated from the manifests in `data_manifests/`; written again by",
        "`python -m hashpipe.hashing.benchmarks.catalogue > docs/benchmarks.md`.",
        "",
        "- `hashpipe benchmarks fetch NAME --root DIR` brings the files, where that is allowed.",
        "- `hashpipe benchmarks verify NAME --root DIR` checks a folder that you have.",
        "- `hashpipe eval --benchmark NAME --root DIR` scores the model of the workspace on it.",
        f"- `hashpipe train --benchmark NAME --root DIR -w NEW` learns from its training photos, without their labels: "
        f"{', '.join(_with_training())}.",
        "",
        "A model of your photos says little about photos of another kind, and `eval` says so. For a score to compare",
        "with papers learn from the benchmark's own training photos, in a workspace of its own:",
        "",
        "```sh",
        "hashpipe train --benchmark cifar10 --root DIR -w cifar --bits 16,32,64",
        "hashpipe eval --benchmark cifar10/I --root DIR -w cifar",
        "```",
        "",
        "The descriptors of CIFAR-10's 60,000 photos take a quarter of an hour or more on two cores. Both commands",
        "share them. The time is said after the first few, and a stop keeps those that are done.",
        "",
        "Metrics and protocols are defined in [metrics.md](metrics.md).",
        "",
        "| name | what | download |",
        "|---|---|---|",
        *(f"| [{one.name}](#{_anchor(one)}) | {one.title} | {one.download} |" for one in all_manifests().values()),
    ]
    for one in all_manifests().values():
        parts += ["", f"## {one.name}", "", f"**{one.title}.** {one.what}", ""]
        parts += [f"- Home: {one.home}", f"- Licence: {one.licence}. Terms: {one.terms}", f"- Cite: {one.citation}"]
        parts += [f"- `--root`: {one.tree}"]
        parts += [f"- Step {i}: {step}" for i, step in enumerate(one.steps, start=1)]
        for file in one.files:
            checksum = f"`{file.checksum}`" if file.checksum else "no checksum published"
            parts.append(f"- File `{file.name}`: {size_of(file)}, {checksum}; {file.url}")
        parts += ["", "| protocol | what | metrics | AP divided by |", "|---|---|---|---|"]
        for table in one.protocols:
            metrics = ", ".join(f"`{metric}`" for metric in table["metrics"])
            parts.append(f"| `{one.name}/{table['name']}` | {table['what']} | {metrics} | {table['normaliser']} |")
        parts += ["", "Pitfalls:", "", *(f"- {pitfall}" for pitfall in one.pitfalls)]
    return "\n".join(parts) + "\n"


def _with_training() -> list[str]:
    """Benchmarks that have photos to learn from."""
    return [one.name for one in all_manifests().values() if one.layout in ("cifar10", "mirflickr", "nuswide")]


def _anchor(manifest: Manifest) -> str:
    return manifest.name.replace("+", "")


def verification(name: str, root: Path) -> Page:
    """Check files and photos of a benchmark at `root`. Raises UserError that names what is missing or damaged."""
    from hashpipe.hashing.benchmarks.benchmarks import load_benchmark

    manifest = find_manifest(name.split("/")[0])
    checked = []
    for file in manifest.files:
        path = Path(root) / file.name
        if path.is_file():
            check_file(file, path)
            checked.append({"file": file.name, "checksum": file.checksum or None})
    benchmark = load_benchmark(name, Path(root))
    protocols: list[dict[str, Any]] = [
        {
            "protocol": one.name,
            "fingerprint": one.fingerprint,
            "queries": len(one.queries),
            "database": len(one.database),
            "training": len(one.training),
            "relevant": int(one.relevance.counts().sum()),
            "without_relevant": int(np.sum(one.relevance.counts() == 0)),
            "notes": list(one.notes),
        }
        for one in benchmark.protocols
    ]
    lines = [
        f"{one['file']}: " + ("checksum matches" if one["checksum"] else "there; no checksum is published")
        for one in checked
    ]
    lines.append(f"{len(benchmark.images)} photos of {manifest.title} are complete at {root}.")
    for one in protocols:
        lines.append(
            f"{one['protocol']}: {one['queries']} queries, {one['database']} searched, {one['training']} to learn from "
            f"(protocol {one['fingerprint']})"
        )
        lines += [f"  note: {note}" for note in one["notes"]]
    content = {"benchmark": manifest.name, "root": str(root), "photos": len(benchmark.images), "files": checked}
    return Page({**content, "protocols": protocols}, "\n".join(lines))


if __name__ == "__main__":
    print(markdown(), end="")
