"""The photos and pairs of a PairSet for torch.utils.data: a data set, and a sampler whose batches hold pairs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import v2

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.pair_labels import learnable, targets_from_pairset
from hashpipe.hashing.training import sampler
from hashpipe.hashing.training.objectives.base import Recipe
from hashpipe.pairgen.pairs.pairset import SPLITS, PairSet, read_pairset
from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.same import load_same

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's networks expect


class PairDataset(Dataset[tuple[Any, int]]):
    """The N photos of a PairSet that may be learnt from: readable, no duplicates, not held out as queries.

    source: a PairSet, its folder, or a workspace. splits: places of these splits give the pairs, of train, val and
    test. size: shorter side in pixels to which photos are decoded, at least. transform: a photo (upright RGB PIL image)
    to a tensor; without it the middle square of `size` pixels, float32 (3,size,size), normalised as for ImageNet.

    Item i is (photo, i). Raises UserError where a file is away or has changed since the pairs were built.
    """

    def __init__(
        self,
        source: PairSet | str | os.PathLike[str],
        size: int = 224,
        transform: Callable[[Image.Image], Any] | None = None,
        splits: Sequence[str] = ("train",),
    ) -> None:
        if unknown := set(splits) - set(SPLITS):
            raise UserError(f"splits has {sorted(unknown)[0]!r}; choose from {', '.join(SPLITS)}.")
        pairset = source if isinstance(source, PairSet) else read_pairset(_folder(Path(source)))
        rows = learnable(pairset)
        self.targets = targets_from_pairset(pairset, rows, splits)
        paths, hashes = pairset.photo_paths(), pairset.photos["sha256"].to_pylist()
        width, height = pairset.photo_column("width"), pairset.photo_column("height")
        self.size, self.transform = size, transform or _middle(size)
        self.paths = [paths[row] for row in rows]
        self._hashes = [hashes[row] for row in rows]
        self._shape = [(int(width[row]), int(height[row])) for row in rows]
        self._known = sampler.Sampler(self.targets, np.random.default_rng(0))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        width, height = self._shape[index]
        most = -(-self.size * max(width, height) // max(min(width, height), 1)) if min(width, height) else None
        try:
            photo = load_same(self.paths[index], self._hashes[index], most)
        except UnreadablePhoto as error:
            raise UserError(f"{self.paths[index]} cannot be learnt from ({error}); build the pairs again.") from None
        return self.transform(photo), index

    def known(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What 3D knows of B photos: pairs int64 (P,2) of positions in `indices`, and labels int8 (P,), 1 or -1."""
        found = self._known.relations(np.asarray(indices, np.int64))
        similar, dissimilar = (found[name].triu(1).nonzero() for name in ("similar", "dissimilar"))
        label = torch.ones(len(similar) + len(dissimilar), dtype=torch.int8)
        label[len(similar) :] = -1
        return torch.cat([similar, dissimilar]), label

    def collate(self, samples: Sequence[tuple[Any, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """A batch for the losses, `collate_fn` of a DataLoader: photos (B,...), pairs int64 (P,2), labels int8 (P,)."""
        photos, indices = zip(*samples, strict=True)
        return torch.stack([torch.as_tensor(photo) for photo in photos]), *self.known(indices)


class PairBatchSampler(Sampler[list[int]]):
    """Batches of indices of a PairDataset: photos of similar pairs, evenly from all places, and random other photos.

    similar, dissimilar: pairs of a batch; others: random photos; batches: how many make an epoch. Each photo is in a
    batch once. Epochs differ, and follow from the seed; `set_epoch` chooses one, as in DistributedSampler.
    """

    def __init__(
        self,
        data: PairDataset,
        similar: int = 16,
        dissimilar: int = 0,
        others: int = 16,
        batches: int = 100,
        seed: int = 0,
    ) -> None:
        if similar + dissimilar + others < 1:
            raise UserError("The batch would be empty; give similar, dissimilar or others.")
        if not len(data):
            raise UserError("The pairs hold no photo to learn from; build pairs of more photos.")
        self.data, self.batches, self.seed, self.epoch = data, batches, seed, 0
        self.recipe = Recipe(pairs=similar, dissimilar=dissimilar, random=others, distinct=True)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        drawn = sampler.Sampler(self.data.targets, np.random.default_rng([self.seed, self.epoch]))
        self.epoch += 1
        for _ in range(self.batches):
            if rows := drawn.draw(self.recipe).rows.tolist():
                yield rows


def _folder(path: Path) -> Path:
    return path if (path / "pairs.parquet").exists() else path / "pairs"


def _middle(size: int) -> Callable[[Image.Image], Tensor]:
    made: Callable[[Image.Image], Tensor] = v2.Compose(
        [
            v2.Resize(size, antialias=True),
            v2.CenterCrop(size),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(_MEAN, _DEVIATION),
        ]
    )
    return made
