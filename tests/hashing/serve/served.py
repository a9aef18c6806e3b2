"""What the tests of the page share: a collection, its index, places and a 3D model, without COLMAP."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL import Image
from small_models import workspace_with, write_pictures

from hashpipe.common.files import sha256_file
from hashpipe.hashing.codes.codes_file import CodeSet, write_codes
from hashpipe.hashing.data.images import from_paths
from hashpipe.hashing.encoding.encode import open_encoder
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.serve.run import Serving
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, write_pairset

if TYPE_CHECKING:
    import httpx

COUNT, PLACE_OF = 12, [0, 0, 0, 0, 1, 1, 1, -1, -1, -1, -1, -1]


@dataclass(frozen=True)
class Served:
    photos: Path
    workspace: Path
    told: Serving
    client: httpx.Client

    def search(self, content: bytes, name: str = "photo.jpg", **values) -> httpx.Response:
        return self.client.post("/api/search", params=values, files={"photo": (name, content)})


def client(url: str) -> httpx.Client:
    import httpx

    return httpx.Client(base_url=url, timeout=30, trust_env=False, verify=False)  # no TLS here, no certificates to load


def make_collection(folder: Path, model: Path) -> Path:
    """`folder`/photos with 12 pictures; `folder`/ws with codes, index, places 0 and 1, a 3D model of place 0."""
    write_pictures(folder / "photos", COUNT)
    names = [path.name for path in sorted((folder / "photos").iterdir())]
    odd = "sub folder/фото <b>1.png"
    (folder / "photos" / odd).parent.mkdir()
    (folder / "photos" / names[2]).rename(folder / "photos" / odd)
    names[2] = odd
    workspace = workspace_with(folder / "ws", model)
    write_codes(workspace / "codes.parquet", encoded(folder / "photos", names, model))
    build_index([], workspace, IndexOptions())
    write_places(workspace / "pairs", folder / "photos", names)
    return workspace


def encoded(root: Path, names: list[str], model: Path) -> CodeSet:
    """Codes of photos; their ids are 10, 11, ... so that nobody takes them for rows."""
    encoder = open_encoder(model)
    paths = [root / name for name in names]
    found = encoder.outputs(from_paths(paths))
    return CodeSet(
        encoder.space,
        np.arange(10, 10 + len(names), dtype=np.int32),
        tuple(names),
        tuple(sha256_file(path) for path in paths),
        encoder.codes(found.u),
        found.quality,
        str(root),
    )


def write_places(folder: Path, root: Path, names: list[str]) -> None:
    values = {
        "photo": range(COUNT), "path": names, "root": [str(root)] * COUNT,
        "sha256": [sha256_file(root / name) for name in names], "status": ["ok"] * COUNT, "place": PLACE_OF,
        "model": PLACE_OF, "split": ["train"] * COUNT, "query": [False] * COUNT, "lat": [47.1] * COUNT,
        "lon": [8.5] * COUNT, "taken_at": ["2024-05-01T12:00:00"] * COUNT,
    }  # fmt: skip
    photos = pa.table({f.name: pa.array(list(values.get(f.name, [0] * COUNT)), f.type) for f in PHOTOS_SCHEMA})
    write_pairset(folder, {"parameters": {}}, photos, PAIRS_SCHEMA.empty_table(), RELATIONS_SCHEMA.empty_table())
    write_model(folder / "models" / "0", names[:4])


def write_model(folder: Path, names: list[str], points: int = 300) -> None:
    """A wall at z = 10 that cameras on the x axis look at (COLMAP: x right, y down, z forward)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    cloud = np.zeros(points, [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])
    cloud["x"], cloud["y"], cloud["z"] = rng.uniform(-5, 5, points), rng.uniform(-4, 0, points), 10
    cloud["red"], cloud["green"], cloud["blue"] = 200, 100, 50
    kinds = "".join(
        f"property {'uchar' if name in ('red', 'green', 'blue') else 'double'} {name}\n" for name in cloud.dtype.names
    )
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {points}\n{kinds}end_header\n"
    (folder / "cloud.ply").write_bytes(head.encode() + cloud.tobytes())
    content = struct.pack("<Q", len(names))
    for number, name in enumerate(names):
        x = float(number) - 1.5  # camera centre (x, 0, 0), no rotation: translation is its negative
        content += struct.pack("<I7dI", number + 1, 1, 0, 0, 0, -x, 0, 0, 1) + name.encode() + b"\0"
        content += struct.pack("<Q", 2) + bytes(48)
    (folder / "images.bin").write_bytes(content)


def jpeg(size: tuple[int, int] = (120, 90), seed: int = 0, mode: str = "RGB", kind: str = "JPEG", **how) -> bytes:
    """A textured picture as bytes of a file."""
    rng = np.random.default_rng(seed)
    bands = len(mode)
    coarse = rng.integers(0, 256, (max(1, size[1] // 6), max(1, size[0] // 6), bands), dtype=np.uint8)
    picture = Image.fromarray(coarse, mode).resize(size, Image.Resampling.BICUBIC)
    content = io.BytesIO()
    picture.save(content, kind, **how)
    return content.getvalue()
