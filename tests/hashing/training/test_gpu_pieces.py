"""Pieces as a GPU makes them, here on a processor: those of augment.py, whatever is kept, asked before or gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hashpipe.hashing.data import images
from hashpipe.hashing.training import augment, gpu_augment
from hashpipe.hashing.training.augment import Pieces
from hashpipe.hashing.training.gpu_pieces import GpuPieces

CPU = torch.device("cpu")
SIDE = 40


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    paths = []
    for number, size in enumerate(((90, 60), (60, 90), (90, 60), (48, 44), (200, 64), (30, 34))):
        coarse = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def pair(photos: list[Path], augment: bool = True, uses: int = 1000) -> tuple[Pieces, GpuPieces]:
    listed = images.from_paths(photos)
    return Pieces(listed, SIDE, augment, 5), GpuPieces(listed, SIDE, augment, 5, CPU, uses)


def check_alike(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal but for what rounding in between moves by a level or two."""
    assert found.shape == wanted.shape
    assert found.dtype == torch.uint8
    gap = (found.int() - wanted.int()).abs()
    assert int(gap.max()) <= 4
    assert float(gap.float().mean()) < 0.5


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("uses", [1000, 0])
def test_pieces_are_those_of_a_processor(photos, augment, uses):
    one, other = pair(photos, augment, uses)
    rows = [3, 0, 1, 4, 5, 0, 2]
    for step in (0, 1):
        check_alike(other.batch(rows, step), one.batch(rows, step))
    check_alike(other.batch(rows, 2, slice(2, 5)), one.batch(rows, 2, slice(2, 5)))
    assert other.batch([], 0).shape == (0, SIDE, SIDE, 3)


def test_pieces_do_not_depend_on_what_is_kept_or_asked_before(photos, monkeypatch):
    rows = [3, 0, 1, 4, 5, 0, 2]
    whole = pair(photos)[1].batch(rows, 7)
    told = pair(photos)[1]
    told.ahead(rows, 7)
    assert torch.equal(told.batch(rows, 7), whole)
    told.ahead([1, 2], 8)  # neighbours were found anew in between: another batch is asked for
    assert torch.equal(told.batch(rows, 7), whole)
    tight = pair(photos)[1]
    tight._left = 30_000
    assert torch.equal(tight.batch(rows, 7), whole)
    assert 0 < len(tight._there) < len(photos)


def test_a_photo_that_is_gone_is_grey_and_named_once(photos, tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(augment, "say", said.append)
    gone = tmp_path / "gone.png"
    gone.write_bytes(photos[0].read_bytes())
    _, pieces = pair([photos[1], gone])
    gone.unlink()
    found = pieces.batch([1, 0, 1], 0)
    assert (found[[0, 2]] == 128).all()
    assert found[1].float().std() > 10
    pieces.batch([1], 1)
    assert len(said) == 1
    assert "gone.png can no longer be learnt from" in said[0]


def test_light_is_each_photos_own():
    from torchvision.transforms.v2 import functional

    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (3, 3, 20, 30), generator=generator, dtype=torch.uint8)
    light = torch.tensor([[0.7, 1.3, 1.0], [1.2, 0.8, 0.7], [1.0, 1.0, 1.3]])
    found = gpu_augment.relit(photos.float(), *light.T)
    for photo, factors, one in zip(photos, light.tolist(), found, strict=True):
        wanted = photo
        for change, factor in zip(
            (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation),
            factors,
            strict=True,
        ):
            wanted = change(wanted, factor)
        assert (one - wanted).abs().max() <= 1
