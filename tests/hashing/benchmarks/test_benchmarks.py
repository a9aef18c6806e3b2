"""Benchmarks as they lie on disks: CIFAR-10 in every form, MIRFLICKR, NUS-WIDE, SMVS; manifests and commands."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.safe_pickle import MOST_BYTES
from hashpipe.hashing.benchmarks import cifar, multilabel
from hashpipe.hashing.benchmarks.benchmarks import load_benchmark
from hashpipe.hashing.benchmarks.catalogue import description, listing, markdown, verification
from hashpipe.hashing.benchmarks.cifar import CLASSES, read_cifar10
from hashpipe.hashing.benchmarks.manifests import DOWNLOADS, all_manifests
from hashpipe.hashing.benchmarks.splits import sampled, sampled_per_class
from hashpipe.hashing.evaluation.scoring import runnable_metrics

EXPECTED = {
    "cifar10", "copies", "holidays", "mirflickr25k", "nuswide21", "oxford5k", "paris6k", "places", "roxford5k",
    "roxford5k+1m", "rparis6k", "rparis6k+1m", "smvs", "ukbench",
}  # fmt: skip


def batches(per_batch=1100, seed=0):
    rng = np.random.default_rng(seed)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    return {
        name: (rng.integers(0, 256, (per_batch, 3072), dtype=np.uint8), (np.arange(per_batch) % 10).tolist())
        for name in names
    }


def python_archive(path, data):
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, (pixels, labels) in data.items():
            content = pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def binary_folder(folder, data):
    folder.mkdir()
    for name, (pixels, labels) in data.items():
        rows = np.concatenate([np.array(labels, dtype=np.uint8)[:, None], pixels], axis=1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def test_cifar10_archive_and_binary_folder_are_one_benchmark(tmp_path):
    data = batches()
    python_archive(tmp_path / "cifar-10-python.tar.gz", data)
    binary_folder(tmp_path / "bin", data)
    archive, folder = (load_benchmark("cifar10", tmp_path / name) for name in ("cifar-10-python.tar.gz", "bin"))
    assert archive.protocol_hash == folder.protocol_hash
    assert archive.images.keys == folder.images.keys
    assert (len(archive.queries), len(archive.training), len(archive.database)) == (1000, 5000, 5600)
    assert np.intersect1d(archive.queries, archive.database).size == 0
    assert np.isin(archive.training, archive.database).all()
    picture = np.asarray(archive.images.open(1100, None))
    np.testing.assert_array_equal(picture, data["data_batch_2"][0][0].reshape(3, 32, 32).transpose(1, 2, 0))
    variant = load_benchmark("cifar10/54k", tmp_path / "bin")
    assert not np.isin(variant.training, variant.database).any()
    second = load_benchmark("cifar10/II", tmp_path / "bin")
    assert (len(second.queries), len(second.database)) == (1100, 5500)
    assert len({one.protocol_hash for one in (archive, variant, second)}) == 3
    assert load_benchmark("cifar10", tmp_path).protocol_hash == archive.protocol_hash  # found inside a folder


def test_cifar10_python_2_pickles_are_read(tmp_path):
    """The published batches were written by Python 2: text keys, arrays whose bytes are latin-1 text."""
    data = batches(100)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, (pixels, labels) in data.items():
            content = pickle.dumps({"data": pixels, "labels": labels}, protocol=2)
            info = tarfile.TarInfo(f"x/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    found = read_cifar10(tmp_path / "a.tar.gz")
    assert len(found.images) == 600
    assert found.identities[0] == "train/00000"
    assert found.identities[-1] == "test/00099"


def class_tree(per_train=3, per_test=2):
    rng = np.random.default_rng(0)
    for part, count in (("train", per_train), ("test", per_test)):
        for name in CLASSES:
            for i in range(count):
                buffer = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
                yield f"cifar10/{part}/{name}/{i:04d}.png", buffer.getvalue()


def test_cifar10_class_folders_and_zip_agree(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in class_tree():
            archive.writestr(name, content)
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tree" / name).write_bytes(content)
    packed, tree = read_cifar10(tmp_path / "a.zip"), read_cifar10(tmp_path / "tree")
    assert packed.identities == tree.identities
    np.testing.assert_array_equal(packed.labels, tree.labels)
    assert packed.images.open(7, 16).size == (16, 16)
    with pytest.raises(UserError, match="Class 0 has 2 photos and 100 are needed"):
        load_benchmark("cifar10", tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "holds neither"),
        (lambda p: p.write_bytes(b"no archive"), "cannot be read as an archive"),
        (lambda p: [(p / "train" / "zebra").mkdir(parents=True), (p / "train" / "zebra" / "1.png").touch()], "zebra"),
        (lambda p: p.mkdir() or (p / "test_batch.bin").write_bytes(b"short"), "lacks data_batch_1.bin"),
        (lambda p: p.mkdir() or [(p / f"{n}.bin").write_bytes(b"short") for n in batches(1)], "no multiple of 3,073"),
    ],
)  # fmt: skip
def test_what_is_not_cifar10_is_refused(tmp_path, make, match):
    make(tmp_path / "x")
    with pytest.raises(UserError, match=match):
        read_cifar10(tmp_path / "x")


def test_hostile_cifar_pickle_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    folder = tmp_path / "x"
    folder.mkdir()
    for name in batches(1):
        (folder / name).write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(UserError, match="not a pickle of plain lists"):
        read_cifar10(folder)
    assert not (tmp_path / "evil").exists()


def test_cifar_files_too_large_are_not_even_read(tmp_path, monkeypatch):
    folder = tmp_path / "x"
    folder.mkdir()
    for name in batches(1):
        with (folder / name).open("wb") as file:
            file.truncate(MOST_BYTES + 1)  # takes no space on the disk
    python_archive(tmp_path / "cifar-10-python.tar.gz", batches(1))
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(UserError, match="more than the 1,073,741,824 that are read"):
        read_cifar10(folder)
    monkeypatch.setattr(cifar, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"_batch has \d,\d+ bytes, more than the 1,000"):
        read_cifar10(tmp_path / "cifar-10-python.tar.gz")


def test_samples_do_not_depend_on_the_order_of_rows():
    names = [f"photo{i}" for i in range(50)]
    order = np.random.default_rng(0).permutation(50)
    first = {names[i] for i in sampled(np.arange(50), names, 9, seed=4)}
    second = {names[order[i]] for i in sampled(np.arange(50), [names[i] for i in order], 9, seed=4)}
    assert first == second
    assert first != {names[i] for i in sampled(np.arange(50), names, 9, seed=5)}
    classes = np.arange(50) % 3
    chosen = sampled_per_class(np.arange(50), names, classes, 5, 0)
    assert np.bincount(classes[chosen]).tolist() == [5, 5, 5]


def test_mirflickr_layout(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (tmp_path / "annotations").mkdir()
    for i in range(24):
        for suffix in ("", "_r1") if i < 4 else ("",):
            numbers = rng.permutation(25_000)[:40] + 1
            (tmp_path / "annotations" / f"label{i:02d}{suffix}.txt").write_text("\n".join(map(str, numbers)) + "\n")
    (tmp_path / "annotations" / "README.txt").write_text("hello\n")
    names, labels = multilabel._mirflickr(tmp_path, 24)
    assert labels.shape == (25_000, 24)
    assert labels.sum() == 24 * 40
    kept = [name for name, one in zip(names, labels, strict=True) if one.any()]
    for name in kept:
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    monkeypatch.setitem(all_manifests()["mirflickr25k"].protocols[0], "queries", 60)
    monkeypatch.setitem(all_manifests()["mirflickr25k"].protocols[0], "training", 100)
    found = load_benchmark("mirflickr25k", tmp_path)
    assert (len(found.queries), len(found.training), len(found.images)) == (60, 100, len(kept))
    (tmp_path / "annotations" / "label01.txt").write_bytes(b"\xef\xbb\xbf7\r\n9\r\n")
    assert np.flatnonzero(multilabel._mirflickr(tmp_path, 24)[1][:, 1]).tolist() == [6, 8]
    (tmp_path / "annotations" / "label01.txt").write_text("7\nnine\n")
    with pytest.raises(UserError, match="whole numbers"):
        load_benchmark("mirflickr25k", tmp_path)
    (tmp_path / "annotations" / "label00.txt").unlink()
    with pytest.raises(UserError, match="23 label files"):
        load_benchmark("mirflickr25k", tmp_path)


def test_nuswide_layout(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    names = [f"group\\{i:04d}_{i * 7}.jpg" for i in range(400)]
    (tmp_path / "ImageList").mkdir()
    (tmp_path / "ImageList" / "Imagelist.txt").write_text("\r\n".join(names))
    (tmp_path / "Groundtruth" / "AllLabels").mkdir(parents=True)
    for i in range(30):
        column = (rng.random(400) < (0.3 if i % 3 else 0.02)).astype(int)
        (tmp_path / "Groundtruth" / "AllLabels" / f"Labels_c{i:02d}.txt").write_text("\n".join(map(str, column)))
    for name in names:
        (tmp_path / name.split("\\")[1]).write_bytes(name.encode())
    table = all_manifests()["nuswide21"].protocols[0]
    for key, value in (("queries_per_class", 2), ("training_per_class", 5), ("labels", 20)):
        monkeypatch.setitem(table, key, value)
    found = load_benchmark("nuswide21", tmp_path)
    assert (len(found.queries), len(found.training)) == (40, 100)
    assert not np.isin(found.queries, found.training).any()
    assert found.relevance.queries.shape == (40, 20)


def test_smvs_layout(tmp_path):
    for folder, numbers in (
        ("dvd/Reference", (1, 2)),
        ("dvd/Canon", (1, 2, 3)),
        ("book/Reference", (1,)),
        ("book/Palm", (1,)),
    ):
        (tmp_path / folder).mkdir(parents=True)
        for number in numbers:
            (tmp_path / folder / f"{number:03d}.jpg").write_bytes(f"{folder}{number}".encode())
    found = load_benchmark("smvs", tmp_path)
    names = ["/".join(Path(name).parts[-3:]) for name in found.images.names]
    pairs = {(names[q], names[found.database[found.relevance.of(i)[0][0]]]) for i, q in enumerate(found.queries)}
    assert pairs == {
        ("dvd/Canon/001.jpg", "dvd/Reference/001.jpg"), ("dvd/Canon/002.jpg", "dvd/Reference/002.jpg"),
        ("book/Palm/001.jpg", "book/Reference/001.jpg"),
    }  # fmt: skip
    assert "1 phone photos without a reference" in found.notes[0]


def test_manifests_are_complete():
    assert set(all_manifests()) == EXPECTED
    for manifest in all_manifests().values():
        for value in (
            manifest.title,
            manifest.what,
            manifest.home,
            manifest.licence,
            manifest.terms,
            manifest.citation,
            manifest.tree,
        ):
            assert value
        assert manifest.pitfalls
        assert manifest.download in DOWNLOADS
        assert (manifest.download == "by hand") == bool(manifest.steps)
        assert (manifest.download == "automatic") == bool(manifest.files)
        for file in manifest.files:
            assert file.bytes or file.about
            assert bool(file.checksum) or "checksum is published" in file.note or "nor checksum" in file.note
        for table in manifest.protocols:
            assert table["what"]
            assert table["normaliser"] in ("found", "min(k,R)", "trapezoid")
            assert runnable_metrics(tuple(table["metrics"]), 10**9)[0] == tuple(table["metrics"])


def test_list_show_and_verify(tmp_path):
    assert all(name in listing().as_text() for name in EXPECTED)
    text = description("cifar10").as_text()
    assert "c58f30108f718f92721af3b95e74349a" in text
    assert "cifar10/54k" in text
    json.dumps(description("roxford5k").as_json())
    binary_folder(tmp_path / "bin", batches())
    page = verification("cifar10", tmp_path / "bin")
    assert page.as_json()["protocols"][0]["queries"] == 1000
    assert "complete" in page.as_text()


@pytest.mark.parametrize(
    ("name", "match"),
    [("cifr10", "did you mean cifar10"), ("cifar10/III", "choose from cifar10/I"), ("places", "workspace's own")],
)
def test_unknown_names(name, match, tmp_path):
    with pytest.raises(UserError, match=match):
        load_benchmark(name, tmp_path)


def test_the_documentation_is_what_the_manifests_say():
    page = Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md"
    assert page.read_text(encoding="utf-8") == markdown(), "write docs/benchmarks.md again, see its first lines"
