"""Descriptors: weights, pooling, caching, unreadable images."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from small_models import random_weights

from hashpipe.common.errors import UserError
from hashpipe.hashing.data import images
from hashpipe.hashing.features import backbones, descriptor_cache
from hashpipe.hashing.features import describer as describer_module
from hashpipe.hashing.features.descriptors import make_describer, restore_describer
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.pairgen.matching import vlad

NET = "shufflenet_v2_x0_5"  # small and without a head that matters


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"), NET)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Seven textured pictures of several shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for number, size in enumerate([(120, 90), (90, 120), (120, 90), (64, 64), (200, 50), (120, 90), (40, 40)]):
        coarse = generator.integers(0, 255, (size[1] // 5, size[0] // 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def options(weights: Path, **changes) -> BackboneOptions:
    return BackboneOptions(**{"backbone": NET, "weights": str(weights), "image_size": 96, "device": "cpu", **changes})


def listed(folder: Path) -> images.ImageList:
    return images.from_paths(sorted(folder.glob("*.png")))


def test_rows_are_unit_vectors_in_order_whatever_the_batching(weights, folder):
    everything = listed(folder)
    describer = make_describer(options(weights), everything)
    together = describer.describe(everything)
    assert together.ok.all()
    assert together.values.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together.values, axis=1), 1, atol=1e-5)
    for row in range(len(everything)):
        alone = describer.describe(everything.subset([row]))
        np.testing.assert_allclose(alone.values[0], together.values[row], atol=1e-5)


def test_descriptor_is_pooled_map_of_the_network(weights, folder):
    """Against the network run by hand: resize, normalise, last map, pooling."""
    path = folder / "0.png"
    values = make_describer(options(weights, pooling="spoc"), listed(folder)).describe(images.from_paths([path])).values
    net = torchvision.models.get_model(NET)
    from safetensors.torch import load_file

    net.load_state_dict(load_file(weights))
    net.eval()
    picture = Image.open(path).convert("RGB").resize((96, 72), Image.Resampling.LANCZOS, reducing_gap=3.0)
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    x = (x - torch.tensor(backbones.MEAN)[:, None, None]) / torch.tensor(backbones.STD)[:, None, None]
    with torch.inference_mode():
        maps = net.conv5(net.stage4(net.stage3(net.stage2(net.maxpool(net.conv1(x))))))
    expected = maps.mean((2, 3))[0]
    np.testing.assert_allclose(values[0], expected / expected.norm(), atol=1e-4)


@pytest.mark.parametrize("pooling", ["gem", "mac", "spoc"])
def test_pooling_against_loops(pooling):
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    pooled = backbones.pool(maps, pooling)
    for b in range(2):
        for c in range(3):
            values = [float(v) for v in maps[b, c].flatten()]
            mean3 = (sum(v**3 for v in values) / 20) ** (1 / 3)
            expected = {"gem": mean3, "mac": max(values), "spoc": sum(values) / 20}[pooling]
            assert float(pooled[b, c]) == pytest.approx(expected)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "densenet121", "mnasnet0_5", "vgg11"]
)
def test_families_of_networks_have_a_feature_map(name):
    trunk = backbones.Trunk(name, "gem").eval()
    with torch.inference_mode():
        out = trunk(torch.rand(2, 3, 64, 96))
    assert out.shape[0] == 2
    assert out.shape[1] >= 512
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))


def test_transformers_see_squares_of_their_size():
    trunk = backbones.Trunk("vit_b_32", "gem").eval()
    assert trunk.size == 224
    with torch.inference_mode():
        assert trunk(torch.rand(1, 3, 224, 224)).shape == (1, 768)


def test_each_photo_is_computed_once(weights, folder, tmp_path):
    everything = listed(folder)
    describer = make_describer(options(weights), everything)
    first = describer.describe(everything.subset(range(5)), tmp_path)
    opened: list[int] = []
    watched = images.ImageList(
        everything.keys, lambda row, side: opened.append(row) or everything.open(row, side), everything.names
    )
    second = describer.describe(watched, tmp_path)
    assert sorted(opened) == [5, 6]
    np.testing.assert_array_equal(first.values, second.values[:5])
    describer.describe(watched.subset([3, 0]), tmp_path)
    assert sorted(opened) == [5, 6]


def test_a_part_that_was_cut_off_or_damaged_is_computed_again(weights, folder, tmp_path):
    everything = listed(folder)
    describer = make_describer(options(weights), everything)
    whole = describer.describe(everything, tmp_path)
    (names,) = (tmp_path / describer.fingerprint).glob("*.json")
    names.unlink()  # a run killed between the two files of a part
    np.testing.assert_allclose(describer.describe(everything, tmp_path).values, whole.values, atol=1e-5)
    names.write_text("{", encoding="utf-8")
    assert describer.describe(everything, tmp_path).ok.all()


def test_unreadable_photos_keep_their_row_and_are_tried_again(weights, folder, tmp_path):
    broken, late = tmp_path / "broken.jpg", tmp_path / "late.png"
    broken.write_bytes(b"no picture")
    mixed = images.from_paths([folder / "0.png", broken, late, folder / "1.png"])
    describer = make_describer(options(weights), mixed)
    found = describer.describe(mixed, tmp_path / "cache")
    assert found.ok.tolist() == [True, False, False, True]
    assert not found.values[1:3].any()
    late.write_bytes((folder / "2.png").read_bytes())
    assert describer.describe(mixed, tmp_path / "cache").ok.tolist() == [True, False, False, True]  # nobody hashed it
    again = images.from_paths([folder / "0.png", broken, late, folder / "1.png"])
    assert describer.describe(again, tmp_path / "cache").ok.tolist() == [True, False, True, True]


def test_a_photo_gone_since_is_still_known(weights, folder, tmp_path):
    copy = tmp_path / "copy.png"
    copy.write_bytes((folder / "0.png").read_bytes())
    single = images.from_paths([copy])
    describer = make_describer(options(weights), single)
    describer.describe(single, tmp_path / "cache")
    copy.unlink()
    assert describer.describe(single, tmp_path / "cache").ok.all()


def test_equal_content_is_computed_once(weights, folder):
    twice = images.from_paths([folder / "0.png", folder / "0.png"])
    found = make_describer(options(weights), twice).describe(twice)
    np.testing.assert_array_equal(found.values[0], found.values[1])


def test_options_and_weights_change_the_fingerprint(weights, folder, tmp_path):
    other = random_weights(tmp_path, NET, seed=1)
    describers = [
        make_describer(options(weights), listed(folder)),
        make_describer(options(weights, pooling="mac"), listed(folder)),
        make_describer(options(weights, image_size=64), listed(folder)),
        make_describer(options(other), listed(folder)),
    ]
    assert len({describer.fingerprint for describer in describers}) == 4
    again = restore_describer(describers[0].config, describers[0].tensors, "cpu")
    assert again.fingerprint == describers[0].fingerprint
    np.testing.assert_array_equal(again.describe(listed(folder)).values, describers[0].describe(listed(folder)).values)


def test_no_images(weights):
    found = make_describer(options(weights), images.from_paths([])).describe(images.from_paths([]))
    assert found.values.shape[0] == 0


def test_vlad_needs_no_weights_and_is_repeatable(folder):
    chosen = BackboneOptions(backbone="vlad", words=4)
    everything = listed(folder)
    describer = make_describer(chosen, everything)
    found = describer.describe(everything)
    assert found.values.shape == (7, 4 * 128)
    assert found.ok.sum() >= 5  # the smallest pictures may have no feature
    np.testing.assert_array_equal(make_describer(chosen, everything).describe(everything).values, found.values)
    again = restore_describer(describer.config, describer.tensors)
    np.testing.assert_array_equal(again.describe(everything).values, found.values)


# -- which network ----------------------------------------------------------------------------------------------------


@pytest.fixture
def empty_hub(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    return tmp_path / "hub" / "hub" / "checkpoints"


def test_sift_of_a_photo_is_found_once_for_the_words_and_its_descriptor(folder, tmp_path, monkeypatch):
    chosen, photos = BackboneOptions(backbone="vlad", words=4), listed(folder)
    plain = make_describer(chosen, photos)
    wanted = plain.describe(photos)
    calls: list[int] = []
    monkeypatch.setattr(vlad, "sift", lambda picture, most, find=vlad.sift: calls.append(1) or find(picture, most))
    describer = make_describer(chosen, photos, tmp_path)
    found = describer.describe(photos, tmp_path)
    assert describer.fingerprint == plain.fingerprint
    assert len(calls) == len(photos)
    np.testing.assert_array_equal(found.values, wanted.values)
    assert found.ok.tolist() == wanted.ok.tolist()
    assert [path.name for path in tmp_path.iterdir()] == [describer.fingerprint]  # nothing is left of the features

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    assert make_describer(chosen, photos, tmp_path / "full").fingerprint == plain.fingerprint


def test_without_weights_anywhere_it_is_vlad(empty_hub):
    assert backbones.choose(None, None) == backbones.Chosen("vlad", None)


def test_cached_weights_are_taken_without_a_word(empty_hub):
    empty_hub.mkdir(parents=True)
    url = torchvision.models.get_model_weights("resnet18").DEFAULT.url
    (empty_hub / url.rsplit("/", 1)[-1]).write_bytes(b"")
    assert backbones.choose(None, None) == backbones.Chosen("resnet18", "imagenet")
    assert backbones.choose("resnet18", None) == backbones.Chosen("resnet18", "imagenet")


def test_a_network_without_weights_says_what_to_pass(empty_hub):
    with pytest.raises(UserError, match="--weights FILE, --weights imagenet"):
        backbones.choose("resnet18", None)


def test_offline_it_names_what_to_fetch(empty_hub, monkeypatch, folder, capsys):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(
        UserError, match=r"download.pytorch.org/.*shufflenet.* cannot be downloaded .* --weights shuffle"
    ):
        make_describer(BackboneOptions(NET, "imagenet", device="cpu"), listed(folder))
    assert not list(empty_hub.glob("*.pth"))


def test_the_network_is_read_off_the_name_of_its_weights(weights):
    assert backbones.choose(None, str(weights)).backbone == NET


def test_weights_of_no_known_name_need_a_backbone(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="--backbone NAME"):
        backbones.choose(None, str(path))


@pytest.mark.parametrize(
    ("backbone", "given", "says"),
    [
        ("resnet19", None, "did you mean resnet18"),
        ("qqq", None, "choose vlad or one of"),
        ("resnet18", "gone.pth", "gone.pth is not a file"),
        ("vlad", "x.pth", "vlad takes no weights"),
    ],
)
def test_wrong_choices(backbone, given, says):
    with pytest.raises(UserError, match=says):
        backbones.choose(backbone, given)


def test_weights_of_another_network_name_what_does_not_fit(weights, folder):
    with pytest.raises(UserError, match=r"another network than resnet18 \(conv1.weight.*more do not fit"):
        make_describer(options(weights, backbone="resnet18"), listed(folder))


def test_broken_weights(tmp_path, weights, folder):
    from safetensors.torch import load_file

    state = load_file(weights)
    state["conv1.0.weight"][0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(UserError, match=r"not finite \(in conv1.0.weight"):
        make_describer(options(tmp_path / "nan.safetensors"), listed(folder))
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")
    for name in ("cut.safetensors", "text.pth"):
        with pytest.raises(UserError, match="cannot be read"):
            make_describer(options(tmp_path / name), listed(folder))


def test_pth_files_with_wrappers_and_another_head(tmp_path, weights, folder):
    from safetensors.torch import load_file

    state = {f"module.{key}": value for key, value in load_file(weights).items() if not key.startswith("fc.")}
    state["module.fc.weight"] = torch.zeros(7, 1024)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "mine.pth")
    same = make_describer(options(tmp_path / "mine.pth"), listed(folder)).describe(listed(folder))
    expected = make_describer(options(weights), listed(folder)).describe(listed(folder))
    np.testing.assert_array_equal(same.values, expected.values)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_an_absent_gpu_names_the_option():
    with pytest.raises(UserError, match="--device cpu or auto"):
        backbones.pick_device("cuda")


# -- image lists and the store --------------------------------------------------------------------------------


def test_images_in_a_zip(folder, tmp_path):
    names = ["b/1.png", "b/0.png"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.write(folder / name[2:], name)
    inside = images.from_zip(tmp_path / "a.zip", names)
    assert inside.names == tuple(names)
    assert len(set(inside.keys)) == 2
    assert inside.open(1, None).size == (120, 90)
    assert max(inside.subset([1]).open(0, 60).size) == 60


def test_photos_from_a_folder_or_a_list(folder, tmp_path):
    assert len(images.from_folder_or_list(folder)) == 7
    text = tmp_path / "list.txt"
    text.write_text(f"# two photos\n{folder / '0.png'}\n\n{folder / '3.png'}\n", encoding="utf-8")
    assert [Path(name).name for name in images.from_folder_or_list(text).names] == ["0.png", "3.png"]


@pytest.mark.parametrize("kind", ["missing", "empty", "archive"])
def test_wrong_places_for_photos(kind, tmp_path):
    (tmp_path / "empty").mkdir()
    path = {"missing": tmp_path / "gone", "empty": tmp_path / "empty", "archive": tmp_path / "a.zip"}[kind]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.png", b"\xff")
    with pytest.raises(UserError):
        images.from_folder_or_list(path)


def test_store_ignores_parts_that_do_not_fit(tmp_path):
    descriptor_cache.write(tmp_path, ["a", "b"], np.ones((2, 3)))
    descriptor_cache.write(tmp_path, ["c"], np.zeros((1, 3)))
    (names,) = (path for path in tmp_path.glob("*.json") if "a" in path.read_text())
    names.write_text(json.dumps(["a"]), encoding="utf-8")
    assert set(descriptor_cache.read(tmp_path)) == {"c"}
    assert descriptor_cache.read(tmp_path / "none") == {} == descriptor_cache.read(None)


def test_the_time_that_many_descriptors_take_is_said_after_the_first_few(tmp_path, monkeypatch):
    """All are computed once and in order, whatever the size of the parts."""
    from hashpipe.hashing.features import describer as module
    from hashpipe.hashing.features.describer import Describer, Descriptors

    said, parts = [], []
    monkeypatch.setattr(module, "say", said.append)

    def compute(images, advance):
        parts.append(len(images))
        values = np.array([[float(name), 1.0] for name in images.names], np.float32)
        return Descriptors(values, np.ones(len(images), bool))

    names = tuple(str(number) for number in range(2500))
    many = Describer({"backbone": "x"}, {}, "mark", compute)
    found = many.describe(images.ImageList(names, lambda row, side: None, names), tmp_path)
    assert found.values[:, 0].tolist() == list(range(2500))
    assert (parts[0], sum(parts), max(parts)) == (64, 2500, 256)
    assert len(said) == 1
    assert said[0].startswith("descriptors of 2,500 photos will take about ")
    assert many.describe(images.ImageList(names, lambda row, side: None, names), tmp_path).ok.all()
    few = names[:2000]
    many.describe(images.ImageList(few, lambda row, side: None, few), tmp_path / "other")
    assert len(said) == 1


def test_photos_that_the_build_has_listed_as_unreadable_are_not_told_again(monkeypatch):
    from hashpipe.hashing.features import describer as module
    from hashpipe.hashing.features.describer import Describer, Descriptors

    said = []
    monkeypatch.setattr(module, "say", said.append)
    none = Describer(
        {"backbone": "x"},
        {},
        "m",
        lambda images, advance: Descriptors(np.zeros((len(images), 0)), np.zeros(len(images), bool)),
    )
    listed = images.ImageList(("a", "b"), lambda row, side: None, ("a.jpg", "b.jpg"), unreadable=frozenset({"a"}))
    none.describe(listed)
    none.describe(listed.subset([0]))
    assert said == ["1 photos cannot be read and are left out (b.jpg)"]


def test_nothing_is_stored_under_the_content_of_another_photo(weights, folder, tmp_path):
    """Two files change places after they were listed: neither is described, and with the names put right both are."""
    for name in ("0.png", "1.png", "3.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    def exchange() -> None:
        (tmp_path / "0.png").rename(tmp_path / "aside")
        (tmp_path / "1.png").rename(tmp_path / "0.png")
        (tmp_path / "aside").rename(tmp_path / "1.png")

    photos = listed(tmp_path)
    describer = make_describer(options(weights), photos)
    right = describer.describe(photos)
    exchange()
    assert describer.describe(photos, tmp_path / "cache").ok.tolist() == [False, False, True]
    assert photos.trouble == dict.fromkeys(photos.keys[:2], "its content has changed")
    assert not feature_maps(describer, photos, tmp_path / "cache").ok[:2].any()
    visual = make_describer(BackboneOptions("vlad", words=2, image_size=96), photos)
    assert visual.describe(photos, tmp_path / "cache").ok.tolist() == [False, False, True]
    exchange()
    np.testing.assert_array_equal(describer.describe(photos, tmp_path / "cache").values, right.values)


def test_changed_photos_are_told_from_unreadable_ones(weights, folder, tmp_path, monkeypatch):
    for name in ("0.png", "1.png", "3.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    photos = listed(tmp_path)
    (tmp_path / "0.png").write_bytes((folder / "2.png").read_bytes())
    (tmp_path / "1.png").unlink()
    said: list[str] = []
    monkeypatch.setattr(describer_module, "say", said.append)
    make_describer(options(weights), photos).describe(photos)
    assert [line.split(" (")[0] for line in said] == [
        "1 photos have changed since they were listed and are left out",
        "1 photos cannot be read and are left out",
    ]
