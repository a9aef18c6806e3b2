"""The client in docs/onnx.md, run as a stranger runs it: no bit differs from hashpipe's codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import network_model, workspace_with

from hashpipe.common.files import read_json, sha256_file, write_json
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.options import EncodeOptions, OnnxOptions
from hashpipe.hashing.export.export_onnx import export_onnx
from hashpipe.hashing.features.preprocess import fit, opener

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "onnx.md"


def write_photos(folder: Path) -> None:
    """Photos that are read in every way that the page tells: shrunk, drafted, turned, enlarged, transparent, thin."""
    folder.mkdir()
    generator = np.random.default_rng(0)

    def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
        coarse = generator.integers(0, 256, (height // 8 + 1, width // 8 + 1, len(mode)), dtype=np.uint8)
        return Image.fromarray(coarse.squeeze(), mode).resize((width, height), Image.Resampling.BICUBIC)

    for number, size in enumerate([(1600, 1203), (801, 600), (250, 333), (97, 95), (96, 72), (40, 30), (18, 16)]):
        noise(*size).save(folder / f"{number}.jpg", quality=88, subsampling=number % 3)
        noise(*size).save(folder / f"{number}.png")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        noise(777, 500).save(folder / f"turned{orientation}.jpg", exif=exif)
    noise(900, 700, "RGBA").save(folder / "see-through.png")
    noise(300, 200).quantize(16).save(folder / "palette.png", transparency=3)
    noise(900, 700, "L").save(folder / "grey.jpg")
    noise(640, 480).convert("CMYK").save(folder / "print.jpg")
    noise(2000, 20).save(folder / "thin.jpg")
    noise(640, 480).save(folder / "progressive.jpg", progressive=True)
    noise(640, 480).save(folder / "w.webp")
    noise(640, 480).save(folder / "t.tif")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("client") / "photos"
    write_photos(folder)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return workspace_with(
        tmp_path_factory.mktemp("ws") / "ws", network_model(tmp_path_factory.mktemp("network") / "model")
    )


@pytest.fixture(scope="module")
def exported(workspace) -> Path:
    return export_onnx(workspace, OnnxOptions(bits=12)).file


def client() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_s_client_gives_the_same_bits(photos, workspace, exported, tmp_path):
    encode(photos, workspace, EncodeOptions(runtime="onnx", bits=12))
    codes = read_codes(workspace / "codes.parquet")
    files = sorted(path.name for path in photos.iterdir())
    assert sorted(codes.paths) == files
    (tmp_path / "client.py").write_text(client())
    command = [sys.executable, tmp_path / "client.py", exported, *codes.paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=photos)
    assert done.returncode == 0, done.stderr
    printed = dict(reversed(line.split(maxsplit=1)) for line in done.stdout.splitlines())
    assert printed == {path: code.tobytes().hex() for path, code in zip(codes.paths, codes.codes, strict=True)}
    assert len(set(printed.values())) > len(files) / 2


@pytest.mark.parametrize(("square", "multiple"), [(False, 1), (True, 1), (False, 14)])
def test_its_pixels_are_those_of_hashpipe(photos, square, multiple):
    """Also where no bit would tell."""
    scope: dict = {}
    exec(client().partition("options = ")[0], scope)
    for path in photos.iterdir():
        wanted = np.asarray(fit(opener(path), 96, square, multiple))
        assert np.array_equal(scope["read"](path, 96, square, multiple), wanted), path.name


def test_the_metadata_say_how_photos_are_read(exported):
    meta = {one.key: one.value for one in onnx.load(str(exported)).metadata_props}
    words = ("draft('RGB', (96, 96))", "reducing_gap=3.0", "LANCZOS", "BICUBIC", "EXIF", "(128, 128, 128)", "below 32")
    for word in words:
        assert word in meta["preprocessing"]
    assert (meta["image_size"], meta["square"], meta["pillow"]) == ("96", "0", Image.__version__)


def test_a_graph_of_an_earlier_version_gets_the_metadata_of_this_one(workspace, exported):
    def facts(path: Path) -> dict[str, str]:
        return {one.key: one.value for one in onnx.load(str(path)).metadata_props}

    wanted = facts(exported)
    (graph,) = (workspace / "model" / "exported").rglob("hash-12.onnx")
    old = onnx.load(str(graph))
    onnx.helper.set_model_props(old, {"preprocessing": "resize"})
    onnx.save(old, str(graph))
    record = graph.with_suffix(".json")
    write_json(record, {**read_json(record), "graph": sha256_file(graph)})
    assert facts(export_onnx(workspace, OnnxOptions(bits=12)).file) == wanted


def test_a_container_with_one_processor_gets_no_complaints(workspace, photos, exported):
    """Left alone, ONNX Runtime binds threads to processors that a container may not use, and complains."""
    script = (
        "import os, sys; from pathlib import Path; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
        "from hashpipe.hashing.data.images import from_paths\n"
        "from hashpipe.hashing.encoding.encoder import open_encoder\n"
        "encoder = open_encoder(Path(sys.argv[1]), bits=12, runtime='onnx', threads=4)\n"
        "print(encoder.outputs(from_paths([Path(sys.argv[2])])).u.shape)"
    )
    command = [sys.executable, "-c", script, workspace / "model", photos / "0.jpg"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "(1, 12)\n", done.stderr
    assert "affinity" not in done.stderr
