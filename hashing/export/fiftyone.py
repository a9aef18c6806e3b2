"""Codes as a dataset that FiftyOne opens: `fiftyone.types.FiftyOneDataset`, in the JSON form without a version.

`metadata.json` says what it is, `samples.json` lists the photos by absolute path with their fields. Nothing is copied.
`code_bits` are numbers, so that FiftyOne Brain takes the field as embeddings.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hashpipe.common.files import write_json
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.data.listing import shown


def write_fiftyone(folder: Path, codeset: CodeSet) -> None:
    """Write metadata.json and samples.json into a folder."""
    info = {"made_by": "hashpipe", "space": codeset.space.fingerprint, "bits": codeset.space.bits}
    write_json(folder / "metadata.json", {"media_type": "image", "info": info})
    bits = np.unpackbits(codeset.codes, axis=1, bitorder="little")[:, : codeset.space.bits]
    with (folder / "samples.json").open("w", encoding="utf-8") as file:
        file.write('{"samples": [')
        for row in range(len(codeset)):
            sample = {
                "filepath": shown(str(codeset.path(row).absolute())),
                "tags": [],
                "photo": int(codeset.photos[row]),
                "sha256": codeset.sha256[row],
                "quality": float(codeset.quality[row]),
                "code": codeset.codes[row].tobytes().hex(),
                "code_bits": [float(bit) for bit in bits[row]],
            }
            file.write(("," if row else "") + "\n" + json.dumps(sample, ensure_ascii=False))
        file.write("\n]}\n")


def read_fiftyone(folder: Path, codeset: CodeSet) -> tuple[np.ndarray, np.ndarray]:
    """Ids int32 (N,) and codes uint8 (N, width), from `code_bits`: what FiftyOne compares."""
    samples = json.loads((folder / "samples.json").read_text(encoding="utf-8"))["samples"]
    bits = np.array([sample["code_bits"] for sample in samples], np.uint8).reshape(len(samples), codeset.space.bits)
    codes = np.packbits(bits, axis=1, bitorder="little").reshape(len(samples), codeset.space.width)
    return np.array([sample["photo"] for sample in samples], np.int32), codes
