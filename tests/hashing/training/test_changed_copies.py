"""Each photo and its changed copies as a place: what the copies are, the pairs, and codes that find pages again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image
from small_models import NET, random_weights, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training.adapt import adapt
from hashpipe.hashing.training.changed_copies import with_copies
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import AdaptOptions, TrainOptions
from hashpipe.hashing.training.train import train


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = write_pictures(tmp_path_factory.mktemp("pages") / "photos", 6)
    (folder / "again.png").write_bytes((folder / "000.png").read_bytes())
    return folder


def test_all_of_a_group_are_similar_and_the_same_content_is_one_group(pages):
    images = from_folder_or_list(pages)
    everything, targets = with_copies(images, 2, 0)
    assert len(everything) == len(targets) == 7 * 3
    assert len(set(everything.keys)) == 6 * 3  # a copy of the same content is the same
    group = targets.group
    at = {Path(name).name: row for row, name in enumerate(images.names)}
    assert group[at["again.png"]] == group[at["000.png"]] != group[at["001.png"]]
    expected = {(i, j) for i in range(21) for j in range(i + 1, 21) if group[i] == group[j]}
    assert set(map(tuple, targets.similar.tolist())) == expected
    assert len(targets.similar) == 5 * 3 + 15
    for row, copy in ((0, 7), (0, 8), (6, 19), (6, 20)):
        assert group[row] == group[copy]
    assert targets.kinds == {"copy": 30}
    assert len(with_copies(images.subset([]), 2, 0)[1]) == 0
    lone = with_copies(images.subset([3]), 0, 0)[1]
    assert (len(lone), len(lone.similar)) == (1, 0)


def test_copies_are_changed_and_the_same_each_time(tmp_path):
    for number in range(6):
        coarse = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.png")
    images = from_folder_or_list(tmp_path)
    everything, _ = with_copies(images, 2, 0)
    again, _ = with_copies(images.subset([5, 4]), 2, 0)
    first, other, original = everything.open(6 + 10, None), everything.open(6 + 11, None), images.open(5, None)
    assert first.size == original.size
    arrays = [np.asarray(one.convert("L"), np.float64) for one in (first, other, original)]
    assert np.abs(arrays[0] - arrays[1]).mean() > 3
    assert np.abs(arrays[0] - arrays[2]).mean() > 3
    assert np.corrcoef(arrays[0].ravel(), arrays[2].ravel())[0, 1] > 0.7  # it is still that photo
    np.testing.assert_array_equal(np.asarray(again.open(2, None)), np.asarray(first))
    seeded, _ = with_copies(images, 2, 1)
    assert seeded.keys[6 + 10] != everything.keys[6 + 10]
    assert max(everything.open(6 + 10, 40).size) == 40


def options(pages: Path) -> TrainOptions:
    weights = str(random_weights(pages.parent))
    describe = BackboneOptions(NET, weights, image_size=64, device="cpu")
    return TrainOptions((8,), "dpsh", describe=describe, photos=pages, copies=3, steps=10, batch_pairs=8)


def test_a_model_of_copies_says_so_and_is_adapted(pages, tmp_path):
    result = train(options(pages), tmp_path / "ws")
    assert (result.photos, result.pairs) == (28, {"copy": 5 * 6 + 28})
    assert any("3 changed copies" in note for note in result.notes)
    assert "3 changed copies" in (tmp_path / "ws" / "model" / "README.md").read_text()
    assert load_model(tmp_path / "ws" / "model").config["source"]["copies"] == 3
    adapted = adapt(pages, tmp_path / "ws", AdaptOptions(steps=2))
    assert load_model(adapted.folder).config["options"]["copies"] == 0


def test_without_copies_there_is_nothing_to_learn_and_classes_are_pages():
    x, targets = toys.places(6, 1)
    assert not len(targets.similar)
    with pytest.raises(UserError, match="needs a pair known similar"):
        fit_heads(x, targets, TrainOptions((8,), "ninh", steps=1))
    x, targets = toys.places(6, 2)
    assert fit_heads(x, targets, TrainOptions((8,), "lin2015", steps=1))[8].bits == 8


def test_what_is_refused(pages, tmp_path):
    for changes, message in (
        ({"photos": None}, "--copies 3 makes pairs of a folder's photos; name it with --photos DIR"),
        ({"objective": "dsah", "method": None}, "--copies 3 makes pairs, and --objective dsah reads none"),
    ):
        with pytest.raises(UserError, match=message):
            train(replace(options(pages), **changes), open_workspace(tmp_path / "ws", create=True))
