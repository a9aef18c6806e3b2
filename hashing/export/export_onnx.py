"""The command that exports a model: the file, and how its codes compare with torch's."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, open_workspace
from hashpipe.common.paths import expanded
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.encoding import runtimes
from hashpipe.hashing.encoding.options import OnnxOptions
from hashpipe.hashing.encoding.runtimes import Flips
from hashpipe.hashing.features.preprocess import Open, opener
from hashpipe.hashing.models.model_folder import read_model
from hashpipe.pairgen.pairs.pairset import read_pairset

_MEASURE_ON = 64  # photos


@dataclass(frozen=True)
class OnnxResult:
    """What `export onnx` wrote; `flips` by runtime."""

    file: Path
    model: str
    bits: int
    image_size: int
    flips: dict[str, Flips]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "megabytes": round(self.file.stat().st_size / 1e6, 1)}

    def as_text(self) -> str:
        lines = [
            f"Exported the hash network of model {self.model}, {self.bits} bits.",
            f"  file       {self.file} ({self.file.stat().st_size / 1e6:.1f} MB)",
            "  input      image: uint8 (batch, height, width, 3), RGB",
            f"  output     u: float32 (batch, {self.bits}); bit i is 1 where u[i] >= thresholds[i] of the metadata",
        ]
        for name, one in self.flips.items():
            lines.append(
                f"  {name:<10} {one.version}: {one.bit_flip_rate:.2g} of the bits of {one.photos} {one.pictures} "
                f"differ from torch's, outputs by {one.most_apart:.1g} at most"
            )
        return "\n".join(lines)


def export_onnx(workspace: Path, options: OnnxOptions) -> OnnxResult:
    """Write the whole hash network of one code length as ONNX and measure it against torch.

    Measured on photos of the workspace's pairs or codes, where there are none on generated pictures.

    Raises UserError for a missing model, a VLAD model, a code length it does not have, the extra missing and a place
    that is no folder.
    """
    own = options.model is None or options.output is None
    home = open_workspace(workspace, create=False) if own else None
    model = read_model(options.model if options.model is not None else home / "model")  # type: ignore[operator]
    bits = model.pick_bits(options.bits)
    output = home / f"hash-{bits}.onnx" if options.output is None else expanded(options.output)  # type: ignore[operator]
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise UserError(f"-o {output} is not a file in an existing folder; name one, as in ./hash.onnx.")
    _check_target(output, model.folder)
    from hashpipe.hashing.encoding.onnx_export import copy_with_metadata

    flips = runtimes.prepare(model, bits, _photos(home), again=True)
    with atomic_path(output) as temporary:
        copy_with_metadata(runtimes.graph_path(model, bits), model, bits, temporary)
    size = int(model.describer["image_size"])
    return OnnxResult(output, model.fingerprint, bits, size, flips)


def _check_target(output: Path, model_folder: Path) -> None:
    """Raise UserError where the file would replace one of the model's, or something that is no graph."""
    if model_folder.resolve() in output.resolve().parents:
        raise UserError(f"-o {output} lies in the model's folder; name a file outside of it.")
    if output.exists() and output.suffix.lower() != ".onnx":
        raise UserError(f"{output} exists and its name does not end in .onnx; name another file with -o.")


def _photos(home: Path | None) -> list[Open]:
    """Openers of some photos, evenly spread, of the workspace's pairs, else of its codes."""
    paths: list[Path] = []
    with contextlib.suppress(UserError):
        if home is not None and (home / "pairs").is_dir():
            paths = list(read_pairset(home / "pairs").photo_paths())
        elif home is not None:
            codeset = read_codes(home / "codes.parquet")
            paths = [codeset.path(row) for row in range(len(codeset))]
    rows = np.unique(np.linspace(0, max(len(paths) - 1, 0), min(len(paths), _MEASURE_ON)).round().astype(int))
    return [opener(paths[row]) for row in rows]
