"""Encoding runs: files in, one codes file out; shards, restarts, thresholds, broken photos."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_models import network_model, vlad_model, workspace_with, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, sha256_file
from hashpipe.common.progress import show_progress
from hashpipe.hashing.codes import packing as codes
from hashpipe.hashing.codes.codes_file import check_same_space, read_codes
from hashpipe.hashing.data import images
from hashpipe.hashing.data.listing import list_photos, split_list
from hashpipe.hashing.encoding import encode as encoding
from hashpipe.hashing.encoding import parts as encode_parts
from hashpipe.hashing.encoding import photo_jobs
from hashpipe.hashing.encoding.centring import common_thresholds
from hashpipe.hashing.encoding.encode import encode, open_encoder
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.models.network import load_model

PHOTOS = 12


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), PHOTOS)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return network_model(tmp_path_factory.mktemp("network") / "model")


@pytest.fixture
def workspace(tmp_path, model) -> Path:
    return workspace_with(tmp_path / "ws", model)


@pytest.fixture
def small_parts(monkeypatch) -> None:
    monkeypatch.setattr(photo_jobs, "PART", 3)


TORCH = EncodeOptions(runtime="torch", workers=1)


def test_a_folder(workspace, pictures):
    result = encode(pictures, workspace, TORCH)
    found = read_codes(result.codes)
    assert result.codes == workspace / "codes.parquet"
    assert found.photos.tolist() == list(range(PHOTOS))
    assert list(found.paths) == sorted(path.name for path in pictures.iterdir())
    assert found.sha256 == tuple(sha256_file(found.path(row)) for row in range(PHOTOS))
    encoder = open_encoder(workspace / "model", runtime="torch")
    right = encoder.outputs(images.from_folder_or_list(pictures))
    np.testing.assert_array_equal(found.codes, encoder.codes(right.u))
    np.testing.assert_array_equal(found.quality, right.quality)
    check_same_space(found.space, encoder.space, "file", "encoder")
    assert found.made_by["runtime"] == "torch"
    assert json.loads(json.dumps(result.as_json()))["skipped"] == 0
    assert not list(workspace.glob("*.parts"))
    assert not list(workspace.glob("*.csv"))


def test_broken_files_are_listed_and_shift_nothing(workspace, pictures, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for path in pictures.glob("*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "000.png").write_bytes(b"")
    (folder / "004.png").write_text("no photo")
    (folder / "007.png").write_bytes((pictures / "007.png").read_bytes()[:400])
    Image.new("RGB", (120, 90), (200, 200, 210)).save(folder / "008.png")
    result = encode(folder, workspace, TORCH)
    found, whole = (
        read_codes(result.codes),
        read_codes(encode(pictures, workspace, replace(TORCH, output=tmp_path / "w.parquet")).codes),
    )
    broken = [0, 4, 7]
    assert [row["photo"] for row in result.failures] == broken
    assert found.photos.tolist() == [photo for photo in range(PHOTOS) if photo not in broken]
    for row, photo in enumerate(found.photos):
        assert found.paths[row] == f"{photo:03d}.png"
        if photo != 8:
            np.testing.assert_array_equal(found.codes[row], whole.codes[photo])
    assert [row["path"] for row in result.low_quality] == ["008.png"]
    with (workspace / "codes.failures.csv").open() as file:
        assert [(row["photo"], row["path"]) for row in csv.DictReader(file)] == [
            (str(n), f"{n:03d}.png") for n in broken
        ]
    assert [row["reason"] for row in result.failures][:2] == ["empty file", "not a photo in a known format"]
    assert "3 that cannot be read" in result.as_text()
    assert "1 whose codes are unreliable: 008.png" in result.as_text()
    encode(pictures, workspace, TORCH)
    assert not (workspace / "codes.failures.csv").exists()


def test_shards_make_up_the_whole(workspace, pictures, tmp_path):
    whole = read_codes(encode(pictures, workspace, TORCH).codes)
    shards = [read_codes(encode(pictures, workspace, replace(TORCH, shard=f"{i}/5")).codes) for i in range(1, 6)]
    assert (workspace / "codes-2-of-5.parquet").is_file()
    assert sorted(photo for shard in shards for photo in shard.photos.tolist()) == whole.photos.tolist()
    for shard in shards:
        assert shard.space.fingerprint == whole.space.fingerprint
        np.testing.assert_array_equal(shard.codes, whole.codes[shard.photos])
        assert shard.paths == tuple(whole.paths[photo] for photo in shard.photos)


@pytest.mark.usefixtures("small_parts")
def test_a_stopped_run_goes_on_and_ends_in_the_same_file(workspace, pictures, monkeypatch):
    right = encode(pictures, workspace, TORCH).codes.read_bytes()
    (workspace / "codes.parquet").unlink()
    opened: list[str] = []
    load = photo_jobs.load_upright

    def stop_at_seven(*given):
        opened.append("one")
        if len(opened) > 7:
            raise KeyboardInterrupt
        return load(*given)

    monkeypatch.setattr(photo_jobs, "load_upright", stop_at_seven)
    with pytest.raises(KeyboardInterrupt):
        encode(pictures, workspace, TORCH)
    assert not (workspace / "codes.parquet").exists()
    parts = sorted((workspace / "codes.parquet.parts").glob("*.npz"))
    assert 1 <= len(parts) <= 2
    parts[0].write_bytes(parts[0].read_bytes()[:100])  # as after a loss of power
    again: list[str] = []
    monkeypatch.setattr(photo_jobs, "load_upright", lambda *given: (again.append("one"), load(*given))[1])
    result = encode(pictures, workspace, TORCH)
    assert result.codes.read_bytes() == right
    assert len(again) == PHOTOS - 3 * (len(parts) - 1)
    assert not (workspace / "codes.parquet.parts").exists()


@pytest.mark.usefixtures("small_parts")
def test_parts_of_other_photos_or_options_are_not_used(workspace, pictures, tmp_path):
    folder = write_pictures(tmp_path / "copy", PHOTOS)
    work = tmp_path / "ws" / "codes.parquet.parts"
    keep = encode_parts.close_parts
    try:
        encode_parts.close_parts = lambda folder: None
        first = read_codes(encode(folder, workspace, TORCH).codes)
        (folder / "001.png").write_bytes((pictures / "002.png").read_bytes())
        changed = read_codes(encode(folder, workspace, TORCH).codes)
        assert len(list(work.glob("*.npz"))) == PHOTOS // 3
        other = read_codes(encode(folder, workspace, replace(TORCH, bits=12)).codes)
    finally:
        encode_parts.close_parts = keep
    np.testing.assert_array_equal(changed.codes[1], changed.codes[2])
    assert (first.codes[1] != changed.codes[1]).any()
    assert other.space.bits == 12


def test_killed_at_any_moment(pictures, tmp_path):
    """kill -9 again and again; what is left always ends in the same file."""
    workspace = workspace_with(tmp_path / "ws", vlad_model(tmp_path / "m" / "model", pictures))
    right = encode(pictures, workspace, EncodeOptions()).codes.read_bytes()
    (workspace / "codes.parquet").unlink()
    script = (
        "import sys, time; from pathlib import Path; from hashpipe.hashing.encoding import encode, photo_jobs\n"
        "photo_jobs.PART = 2\n"
        "load = photo_jobs.load_upright\n"
        "def slow(*given):\n    time.sleep(0.05)\n    return load(*given)\n"
        "photo_jobs.load_upright = slow\n"
        "print('begun', flush=True)\n"
        f"encode.encode(Path({str(pictures)!r}), Path({str(workspace)!r}), "
        "encode.EncodeOptions(workers=1))\n"
    )
    parts = workspace / "codes.parquet.parts"
    for wanted in (1, 3):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while len(list(parts.glob("part-*.npz"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (workspace / "codes.parquet").exists()
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert (workspace / "codes.parquet").read_bytes() == right


def test_thresholds_from_a_file_are_part_of_the_space(workspace, pictures, tmp_path):
    own = read_codes(encode(pictures, workspace, TORCH).codes)
    file = tmp_path / "t.json"
    t = np.linspace(-1, 1, 12).astype(np.float32)
    file.write_text(json.dumps({"model": own.space.model, "bits": 12, "thresholds": t.tolist()}))
    other = read_codes(encode(pictures, workspace, replace(TORCH, thresholds=file)).codes)
    assert other.space.bits == 12
    np.testing.assert_array_equal(other.space.thresholds, t)
    third = encode(
        pictures, workspace, replace(TORCH, thresholds=workspace / "codes.parquet", output=tmp_path / "3.parquet")
    )
    check_same_space(other.space, third.space, "json", "codes file")
    np.testing.assert_array_equal(read_codes(third.codes).codes, other.codes)
    with pytest.raises(UserError, match="holds 12 thresholds and --bits is 16"):
        encode(pictures, workspace, replace(TORCH, thresholds=file, bits=16))
    with pytest.raises(UserError, match=r"t2.json does not exist"):
        encode(pictures, workspace, replace(TORCH, thresholds=tmp_path / "t2.json"))
    for bad in (
        {"model": "0" * 16, "bits": 12, "thresholds": t.tolist()},
        {"bits": 12},
        [],
        {"model": "x", "bits": 3, "thresholds": []},
    ):
        file.write_text(json.dumps(bad))
        with pytest.raises(UserError, match=r"belongs to model 0000|holds no thresholds"):
            encode(pictures, workspace, replace(TORCH, thresholds=file))


def test_codes_of_another_model_as_thresholds(workspace, pictures, tmp_path):
    other = workspace_with(tmp_path / "other", network_model(tmp_path / "m" / "model", seed=5))
    codes = encode(pictures, other, TORCH).codes
    with pytest.raises(UserError, match=r"belongs to model .* use thresholds of the same model"):
        encode(pictures, workspace, replace(TORCH, thresholds=codes))


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """204 small photos, 2 of them broken."""
    folder = write_pictures(tmp_path_factory.mktemp("many"), 204)
    for name in ("010.png", "100.png"):
        (folder / name).write_text("broken")
    return folder


def test_recentring_sets_thresholds_on_the_photos_and_shards_share_them(workspace, many, tmp_path):
    options = replace(TORCH, recentre=True)
    whole = read_codes(encode(many, workspace, options).codes)
    encoder = open_encoder(workspace / "model", runtime="torch")
    found = encoder.outputs(images.from_folder_or_list(many))
    learnt = encoder.model.thresholds(16)
    np.testing.assert_allclose(whole.space.thresholds, codes.thresholds(found.u[found.ok]), atol=1e-4)
    assert np.abs(whole.space.thresholds - learnt).max() > 0.01
    assert len(list((workspace / "thresholds").glob("*.json"))) == 1
    for i in (1, 3):
        shard = read_codes(encode(many, workspace, replace(options, shard=f"{i}/6")).codes)
        check_same_space(shard.space, whole.space, "shard", "whole")
        rows = np.isin(whole.photos, shard.photos)
        np.testing.assert_array_equal(shard.codes, whole.codes[rows])
    taken = replace(TORCH, thresholds=workspace / "codes.parquet", shard="2/6")
    shard = read_codes(encode(many, workspace, taken).codes)
    np.testing.assert_array_equal(shard.codes, whole.codes[np.isin(whole.photos, shard.photos)])


def test_recentring_needs_enough_photos(workspace, pictures):
    with pytest.raises(UserError, match="12 photos are too few to centre bits on"):
        encode(pictures, workspace, replace(TORCH, recentre=True))
    with pytest.raises(UserError, match="exclude each other"):
        EncodeOptions(recentre=True, thresholds=Path("a"))


def test_a_shard_waits_for_the_one_that_computes_the_thresholds(tmp_path, model):
    from hashpipe.hashing.models.model_folder import read_model

    stored, file, began = read_model(model), tmp_path / "thresholds" / "one.json", threading.Event()
    u = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    found, calls = [], []

    def slowly() -> np.ndarray:
        calls.append(1)
        began.set()
        time.sleep(0.3)
        return u

    first = threading.Thread(target=lambda: found.append(common_thresholds(file, stored, 16, slowly)))
    first.start()
    began.wait()
    found.append(common_thresholds(file, stored, 16, slowly))
    first.join()
    assert len(calls) == 1
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(found[0], codes.thresholds(u))


def test_cached_descriptors_of_the_workspace_are_used(workspace, pictures):
    right = read_codes(encode(pictures, workspace, TORCH).codes)
    describer = load_model(workspace / "model", "cpu").describer
    describer.describe(images.from_folder_or_list(pictures), workspace / "descriptors")
    calls = []
    engine = encoding.open_encoder(workspace / "model", runtime="torch").engine
    assert len(engine.run(np.zeros((1, 96, 64, 3), np.uint8))) == 1

    def counted(*given, **keywords):
        encoder = open_encoder(*given, **keywords)
        run = encoder.engine.run
        return replace(encoder, engine=replace(encoder.engine, run=lambda pixels: (calls.append(1), run(pixels))[1]))

    original = encoding.open_encoder
    try:
        encoding.open_encoder = counted
        found = read_codes(encode(pictures, workspace, TORCH).codes)
    finally:
        encoding.open_encoder = original
    assert not calls
    assert np.unpackbits(found.codes ^ right.codes).sum() <= 1
    np.testing.assert_array_equal(found.quality, right.quality)


def test_vlad(pictures, tmp_path):
    workspace = workspace_with(tmp_path / "ws", vlad_model(tmp_path / "m" / "model", pictures))
    found = read_codes(encode(pictures, workspace, EncodeOptions()).codes)
    encoder = open_encoder(workspace / "model")
    np.testing.assert_array_equal(found.codes, encoder.codes(encoder.outputs(images.from_folder_or_list(pictures)).u))
    assert found.made_by["runtime"] == "vlad"
    with pytest.raises(UserError, match="this model is VLAD of SIFT"):
        encode(pictures, workspace, EncodeOptions(runtime="onnx"))


def test_lists(pictures, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text(f"# comment\n{pictures}/003.png\r\n\nsub/a b.png\n")
    listed = list_photos(tmp_path / "list.txt")
    assert listed.paths == (f"{pictures.as_posix()}/003.png", "sub/a b.png")
    assert listed.path(1) == tmp_path / "sub" / "a b.png"
    assert split_list(b"a\nb.png\0c d.png\0") == [Path("a\nb.png"), Path("c d.png")]
    assert split_list(b" leading.png\n") == [Path(" leading.png")]
    monkeypatch.chdir(tmp_path)
    assert list_photos([Path("x.png"), Path("./y.png")]).path(1) == tmp_path / "y.png"
    assert list_photos(pictures / "003.png").paths == ("003.png",)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)))
    (tmp_path / "utf16.txt").write_text("a.png", encoding="utf-16")
    assert list_photos(tmp_path / "utf16.txt").paths == ("a.png",)  # as PowerShell's > writes
    for source, says in (
        (tmp_path / "empty", "holds no photos"),
        (tmp_path / "empty.txt", "lists no photos"),
        (tmp_path / "binary.bin", "neither a folder, nor a photo, nor a text file"),
        (tmp_path / "none", "does not exist"),
        ([], "No photo was named"),
    ):
        with pytest.raises(UserError, match=says):
            list_photos(source)


def test_a_file_that_changes_while_it_is_encoded_loses_no_row(workspace, tmp_path, monkeypatch):
    folder = write_pictures(tmp_path / "moving", 4)
    load = photo_jobs.load_upright

    def touch(*given):
        os.utime(folder / "002.png", ns=(1, time.monotonic_ns()))
        return load(*given)

    monkeypatch.setattr(photo_jobs, "load_upright", touch)
    assert encode(folder, workspace, TORCH).photos == 4


def test_files_of_several_pages_are_said(workspace, pictures, tmp_path, capsys):
    folder = tmp_path / "paged"
    folder.mkdir()
    first, second = (Image.open(pictures / f"00{n}.png").convert("RGB") for n in (0, 1))
    first.save(folder / "a.tif", save_all=True, append_images=[second])
    first.save(folder / "b.png")
    show_progress("auto")
    try:
        found = read_codes(encode(folder, workspace, TORCH).codes)
    finally:
        show_progress("off")
    assert "1 file holds several pages or frames, of which the first is read: a.tif\n" in capsys.readouterr().err
    assert (found.codes[0] == found.codes[1]).all()


def test_photos_added_later_cost_only_themselves(workspace, pictures, tmp_path, monkeypatch):
    folder = write_pictures(tmp_path / "growing", 6)
    encode(folder, workspace, TORCH)
    (folder / "000a.png").write_bytes((pictures / "009.png").read_bytes())
    decoded = []
    load = photo_jobs.load_upright
    monkeypatch.setattr(photo_jobs, "load_upright", lambda *given: (decoded.append(1), load(*given))[1])
    result = encode(folder, workspace, TORCH)
    grown = result.codes.read_bytes()
    assert (result.photos, result.kept, len(decoded)) == (7, 6, 1)
    (workspace / "codes.parquet").unlink()
    assert encode(folder, workspace, TORCH).codes.read_bytes() == grown
    encode(folder, workspace, replace(TORCH, bits=12))  # another space takes nothing over
    assert len(decoded) == 1 + 7 + 7


def test_names_that_are_no_text_are_listed_as_failures(workspace, pictures, tmp_path):
    folder = write_pictures(tmp_path / "odd", 2)
    odd = os.fsencode(folder) + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(odd)).write_bytes((folder / "000.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    result = encode(folder, workspace, TORCH)
    assert (result.photos, len(result.failures)) == (2, 1)
    assert result.failures[0]["reason"] == "file name is not valid UTF-8"
    assert json.dumps(result.as_json()).encode()
    rows = [os.fsencode(folder / "000.png"), odd, os.fsencode(folder / "001.png")]
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(rows))
    listed = encode(tmp_path / "list.txt", workspace, TORCH)
    assert [row["photo"] for row in listed.failures] == [1]
    assert read_codes(listed.codes).photos.tolist() == [0, 2]
    seen = images.from_folder_or_list(tmp_path / "list.txt")  # learning does not write the name down
    assert seen.keys[1] == seen.keys[0]
    assert seen.open(1, None).size == seen.open(0, None).size
    assert "caf\N{REPLACEMENT CHARACTER}.png" in seen.names[1]


def test_the_workspace_is_not_encoded_with_the_photos(pictures, tmp_path, model):
    folder = write_pictures(tmp_path / "photos", 3)
    workspace = workspace_with(folder / "ws", model)
    Image.new("RGB", (50, 50)).save(workspace / "plot.png")
    assert encode(folder, workspace, TORCH).photos == 3


def test_a_model_elsewhere_needs_no_workspace(model, pictures, tmp_path):
    result = encode(pictures, tmp_path / "none", replace(TORCH, model=model, output=tmp_path / "c.parquet"))
    assert read_codes(result.codes).space.model == load_model(model, "cpu").fingerprint
    assert not (tmp_path / "none").exists()


def test_what_is_refused_before_any_work(workspace, pictures, tmp_path, model):
    cases = {
        "no folder .*nowhere; make it": {"output": tmp_path / "nowhere" / "codes.parquet"},
        "is a folder; name the codes file": {"output": tmp_path},
        "end the name in .parquet": {"output": tmp_path / "codes.csv"},
        "--shard 1/20 of 12 photos|--shard 20/20 of 12 photos": {"shard": "20/20"},
        "--bits 24 is not one": {"bits": 24},
        "holds no model yet": {"model": tmp_path},
    }
    for says, changes in cases.items():
        with pytest.raises(UserError, match=says):
            encode(pictures, workspace, replace(TORCH, **changes))
    for shard in ("0/4", "5/4", "1", "a/b", "1/0", "-1/2"):
        with pytest.raises(UserError, match="is not a shard; give i/N"):
            EncodeOptions(shard=shard)
    with pytest.raises(UserError, match="--device cuda is torch's"):
        EncodeOptions(device="cuda", runtime="onnx")
    with pytest.raises(UserError, match="not a hashpipe workspace"):
        encode(pictures, tmp_path / "none", TORCH)
    with locked(workspace / "codes.parquet.parts"), pytest.raises(UserError, match="in use by another"):
        encode(pictures, workspace, TORCH)


def test_no_photo_can_be_read(workspace, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.jpg").write_text("no")
    with pytest.raises(UserError, match=r"None of the 1 photos can be read \(a.jpg: not a photo in a known format\)"):
        encode(folder, workspace, TORCH)
    assert not (workspace / "codes.parquet").exists()
    assert not (workspace / "codes.parquet.parts").exists()


def test_codes_of_photos_that_are_away_are_not_replaced(workspace, pictures, tmp_path):
    """Finished work is kept: with --force, or with the photos back, the same command goes on."""
    photos = tmp_path / "photos"
    shutil.copytree(pictures, photos)
    whole = read_codes(encode(photos, workspace, TORCH).codes)
    before = (workspace / "codes.parquet").read_bytes()
    aside = tmp_path / "aside"
    aside.mkdir()
    for path in sorted(photos.iterdir())[:7]:
        path.rename(aside / path.name)
    with pytest.raises(UserError, match=r"codes of 12 photos, and 7 of them are away, .*000.png; .* give --force"):
        encode(photos, workspace, TORCH)
    assert (workspace / "codes.parquet").read_bytes() == before
    (aside / "006.png").rename(photos / "006.png")
    assert encode(photos, workspace, TORCH).photos == 6  # half of them may go
    encode(photos, workspace, replace(TORCH, force=True))
    for path in aside.iterdir():
        path.rename(photos / path.name)
    assert read_codes(encode(photos, workspace, TORCH).codes).paths == whole.paths
    photos.rename(tmp_path / "moved")  # a folder that has moved is not away
    assert read_codes(encode(tmp_path / "moved", workspace, TORCH).codes).sha256 == whole.sha256


def test_codes_of_another_model_and_files_that_are_no_codes_are_not_replaced(workspace, pictures, tmp_path):
    encode(pictures, workspace, TORCH)
    before = (workspace / "codes.parquet").read_bytes()
    other = network_model(tmp_path / "other" / "model", seed=3)
    with pytest.raises(UserError, match=r"holds codes of model .*, and --model .* give --force"):
        encode(pictures, workspace, replace(TORCH, model=other))
    with pytest.raises(UserError, match="is read by --thresholds and would be replaced"):
        encode(pictures, workspace, replace(TORCH, thresholds=workspace / "codes.parquet"))
    assert (workspace / "codes.parquet").read_bytes() == before
    assert encode(pictures, workspace, replace(TORCH, model=other, force=True)).photos == PHOTOS
    assert encode(pictures, workspace, replace(TORCH, model=workspace / "model")).photos == PHOTOS  # its own, named
    table = tmp_path / "table.parquet"
    pq.write_table(pa.table({"mine": [1]}), table)
    with pytest.raises(UserError, match="is a table, not a codes file"):
        encode(pictures, workspace, replace(TORCH, output=table))
    table.write_bytes(b"cut off")
    assert encode(pictures, workspace, replace(TORCH, output=table)).photos == PHOTOS
