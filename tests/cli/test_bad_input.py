"""What users get wrong: each ends in one sentence and exit code 2, or is skipped, counted and listed."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
from console import SCRIPT, environment
from PIL import Image

from hashpipe.cli.main import run
from hashpipe.common.files import open_workspace


def texture(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A picture with corners that matches no other: random blocks of several sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 255, (n, n, 3), np.uint8)).resize((width, height), 0) for n in (6, 19, 53)
    ]
    return Image.blend(Image.blend(layers[0], layers[1], 0.5), layers[2], 0.4)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    return folder


# ---- pairs build: what cannot be built at all


def test_missing_folder(refused, tmp_path):
    sentence = refused("pairs", "build", tmp_path / "nowhere")
    assert "nowhere" in sentence
    assert not (tmp_path / "hashpipe-workspace").exists()


def test_file_instead_of_folder(refused, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    assert "photo.jpg is not a folder" in refused("pairs", "build", "photo.jpg")


def test_empty_folder(refused, folder, tmp_path):
    assert "my photos holds no photos" in refused("pairs", "build", folder)
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden.jpg").write_bytes(b"x")
    assert "my photos holds no photos" in refused("pairs", "build", folder)
    assert not (tmp_path / "hashpipe-workspace").exists()


def test_one_photo(refused, folder):
    texture(0).save(folder / "only.png")
    assert "at least two" in refused("pairs", "build", folder)


def test_only_duplicates(refused, folder):
    texture(0).save(folder / "a.png")
    shutil.copy(folder / "a.png", folder / "b.png")
    shutil.copy(folder / "a.png", folder / "c.PNG")
    assert "one distinct readable photo" in refused("pairs", "build", folder)


def test_nothing_readable(refused, folder):
    for name in ("a.jpg", "b.png"):
        (folder / name).write_bytes(b"not a picture")
    assert "None of the 2 photo files" in refused("pairs", "build", folder)


@pytest.mark.parametrize("value", ["-1", "abc", "1e99"])
def test_impossible_option(refused, folder, value):
    texture(0).save(folder / "a.png")
    assert "--max-side" in refused("pairs", "build", folder, "--max-side", value)


# ---- workspaces


def test_workspace_is_a_file(refused, folder, tmp_path):
    texture(0).save(folder / "a.png")
    (tmp_path / "taken").write_text("")
    assert "taken" in refused("pairs", "build", folder, "-w", tmp_path / "taken")
    assert "taken" in refused("pairs", "build", folder, "-w", tmp_path / "taken" / "below")


def test_workspace_cannot_be_written(refused, folder):
    texture(0).save(folder / "a.png")
    assert "/proc" in refused("pairs", "build", folder, "-w", "/proc/hashpipe")


def test_workspace_would_lie_among_other_files(refused, folder):
    texture(0).save(folder / "a.png")
    (folder / "below").mkdir()
    (folder / "below" / "letter.txt").write_text("")
    assert "holds other files" in refused("pairs", "build", folder, "-w", folder / "below")
    assert "both photo folder and workspace" in refused("pairs", "build", ".", "-w", ".", cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "below"]


def test_a_second_command_on_the_same_workspace(refused, folder, tmp_path):
    from hashpipe.common.files import locked

    texture(0).save(folder / "a.png")
    texture(1).save(folder / "b.png")
    workspace = open_workspace(tmp_path / "ws", create=True)
    with locked(workspace):
        assert "in use by another hashpipe command" in refused("pairs", "build", folder, "-w", workspace)


# ---- train and eval: in this process, because each new one would import torch again


@pytest.fixture
def refused_here(capfd, tmp_path, monkeypatch):
    """As `refused`, without the process around it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HASHPIPE_WORKSPACE", raising=False)

    def call(*arguments: object) -> str:
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert code == 2, f"exit code {code}\n{out}\n{err}"
        assert out == ""
        sentence = err.strip().splitlines()[-1]
        assert sentence.startswith("hashpipe: "), err
        return sentence

    return call


@pytest.mark.parametrize("value", ["0", "-8", "abc", "100000", "", "64,0"])
def test_bits(refused_here, value):
    assert "--bits" in refused_here("train", "--unsupervised", "--bits", value)


@pytest.mark.parametrize("command", [("pairs", "build", "."), ("train", "--unsupervised"), ("eval",)])
def test_workspace_of_another_version(refused_here, tmp_path, command):
    texture(0).save(tmp_path / "a.png")
    workspace = open_workspace(tmp_path / "old", create=True)
    (workspace / "workspace.json").write_text('{"workspace_version": 99}')
    assert "of version 99" in refused_here(*command, "-w", workspace)


@pytest.mark.parametrize("command", [("train", "--unsupervised"), ("eval",)])
def test_before_pairs(refused_here, tmp_path, command):
    assert "hashpipe pairs build" in refused_here(*command)
    open_workspace(tmp_path / "ws", create=True)
    assert "hashpipe pairs build" in refused_here(*command, "-w", tmp_path / "ws")


def test_unknown_backbone(refused_here, built):
    sentence = refused_here("train", "--unsupervised", "--backbone", "resnet5", "-w", built)
    assert "resnet5" in sentence
    assert "resnet50" in sentence


def test_weights_that_are_not_there(refused_here, built):
    sentence = refused_here(
        "train", "--unsupervised", "--backbone", "resnet18", "--weights", "none.safetensors", "-w", built
    )
    assert "none.safetensors" in sentence


def test_weights_of_another_network(refused_here, built, tmp_path):
    from safetensors.numpy import save_file

    save_file({"conv.weight": np.zeros((3, 3), np.float32)}, tmp_path / "other.safetensors")
    options = ("--backbone", "resnet18", "--weights", tmp_path / "other.safetensors")
    assert "other.safetensors" in refused_here("train", "--unsupervised", *options, "-w", built)


def test_eval_before_train(refused_here, built):
    assert "hashpipe train" in refused_here("eval", "-w", built)


def test_train_on_missing_photos(refused_here, tmp_path):
    assert "nowhere" in refused_here("train", "--unsupervised", "--photos", tmp_path / "nowhere")


# ---- photos that are skipped or read all the same


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A workspace built from photos of which none overlap, and several cannot be read."""
    home = tmp_path_factory.mktemp("odd")
    odd_photos(home / "photos")
    command = [SCRIPT, "pairs", "build", home / "photos", "-w", home / "ws", "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (home / "ws" / "result.json").write_text(done.stdout)
    return home / "ws"


READABLE = {
    "plain.jpg": lambda path: texture(1).save(path),
    "UPPER.JPG": lambda path: texture(2).save(path),
    "Ünï 写真 'x\".png": lambda path: texture(3).save(path),
    "grey.jpg": lambda path: texture(4).convert("L").save(path),
    "cmyk.jpg": lambda path: texture(5).convert("CMYK").save(path),
    "alpha.png": lambda path: texture(6).convert("RGBA").save(path),
    "sixteen bits.png": lambda path: deep(7).save(path),
    "palette.png": lambda path: texture(8).quantize(64).save(path),
    "picture.webp": lambda path: texture(9).save(path, lossless=True),
    "picture.bmp": lambda path: texture(10).save(path),
    "picture.tif": lambda path: texture(11).save(path),
    "png in truth.jpg": lambda path: texture(12).save(path, format="PNG"),
    "rotated.jpg": lambda path: texture(13).save(path, exif=turned(6)),
    "below/deeper/plain.jpg": lambda path: texture(14).save(path),
    "hundred megapixels.png": lambda path: texture(15, 12_500, 8_000).convert("L").save(path, compress_level=1),
}
BROKEN = {
    "empty.jpg": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("this is a note"),
    "truncated.jpg": lambda path: path.write_bytes(encoded(21)[:3000]),
    "truncated.png": lambda path: truncate(path, 22),
    "one pixel.png": lambda path: Image.new("RGB", (1, 1)).save(path),
}


def deep(seed: int) -> Image.Image:
    return Image.fromarray(np.asarray(texture(seed).convert("L")).astype(np.uint16) * 257)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encoded(seed: int) -> bytes:
    import io

    buffer = io.BytesIO()
    texture(seed).save(buffer, "JPEG")
    return buffer.getvalue()


def truncate(path, seed: int) -> None:
    texture(seed).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def odd_photos(folder) -> None:
    for name, make in {**READABLE, **BROKEN}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make(folder / name)
    shutil.copy(folder / "plain.jpg", folder / "the same.jpg")
    (folder / "folder.jpg").mkdir()


def test_broken_photos_are_skipped_counted_and_listed(built):
    got = json.loads((built / "result.json").read_text())
    assert got["photos"] == len(READABLE) + len(BROKEN) + 1
    assert {one["photo"] for one in got["skipped"]} == set(BROKEN)
    assert all(one["reason"] for one in got["skipped"])
    assert got["places"] == 0
    listed = (built / "pairs" / "failures.csv").read_text(encoding="utf-8")
    assert all(name in listed for name in BROKEN)


def test_odd_photos_are_read(built):
    from hashpipe.pairgen.pairs.pairset import read_pairset

    pairset = read_pairset(built / "pairs")
    rows = {row["path"]: row for row in pairset.photos.to_pylist()}
    assert {path for path, row in rows.items() if row["status"] == "ok"} == set(READABLE)
    assert rows["the same.jpg"]["status"] == "duplicate"
    assert rows["the same.jpg"]["duplicate_of"] == rows["plain.jpg"]["photo"]
    assert (rows["rotated.jpg"]["width"], rows["rotated.jpg"]["height"]) == (240, 320)
    assert (rows["hundred megapixels.png"]["width"], rows["hundred megapixels.png"]["height"]) == (12_500, 8_000)


def test_folder_without_overlap_is_no_error_and_says_what_follows(built, hashpipe):
    done = hashpipe("pairs", "build", built.parent / "photos", "-w", built)
    assert done.returncode == 0
    assert "No place could be reconstructed" in done.stdout
    assert "neighbour discovery" in done.stdout
    assert "Traceback" not in done.stderr
