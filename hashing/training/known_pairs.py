"""What a training loop of one's own knows of a batch: checked, and as the matrices that objectives read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hashpipe.common.errors import UserError
from hashpipe.hashing.training.batch import Batch

Pairs = Tensor | Sequence[Tensor]


def make_batch(
    u: Tensor,
    pairs: Pairs,
    labels: Tensor | None = None,
    neighbours: Tensor | None = None,
    places: Tensor | None = None,
    progress: float = 0.0,
) -> Batch:
    """A Batch of outputs u (B,k) and of what is known of them; `losses` says what each argument is.

    Photos that similar pairs connect are never contrasted with each other, as they may show one place.
    """
    if u.ndim != 2 or not u.is_floating_point():
        raise UserError(f"u is {_kind(u)}; give float outputs, one row per photo and one column per bit.")
    size, device = len(u), u.device
    listed, label = labelled(pairs, labels, size)
    listed, label = listed.to(device), label.to(device)
    guessed = _checked(neighbours, size, "neighbours").to(device) if neighbours is not None else listed[:0]
    similar, dissimilar = _matrix(listed[label > 0], size), _matrix(listed[label < 0], size)
    if bool((similar & dissimilar).any()):
        i, j = (similar & dissimilar).nonzero()[0].tolist()
        raise UserError(f"The pair ({i}, {j}) is labelled both similar and dissimilar; give one label.")
    place = torch.full((size,), -1, device=device) if places is None else _places(places, size).to(device)
    placed = place >= 0
    same = (place[:, None] == place[None]) & placed[:, None]
    near = _matrix(guessed, size) & ~similar & ~dissimilar
    dissimilar = (dissimilar | (placed[:, None] & placed[None] & ~same)) & ~similar
    joined = _connected(similar | same) & ~dissimilar
    return Batch(
        rows=torch.arange(size, device=device),
        u=u,
        descriptors=u.detach(),
        pairs=torch.cat([listed, guessed]),
        label=torch.cat([label, torch.zeros(len(guessed), dtype=torch.int8, device=device)]),
        similar=similar,
        dissimilar=dissimilar,
        neighbours=near,
        unrelated=~(joined | near | torch.eye(size, dtype=torch.bool, device=device)),
        place=place,
        progress=progress,
    )


def labelled(pairs: Pairs, labels: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
    """Pairs int64 (P,2) and labels int8 (P,), of pairs and labels or of an `indices_tuple` of pytorch-metric-learning.

    (anchors, positives, negatives) or (anchors, positives, anchors, negatives): each pair of two photos counts once.
    Raises UserError for pairs outside of a batch of `size`, of a photo with itself, and for labels other than 1 and -1.
    """
    if not isinstance(pairs, Tensor):
        if labels is not None:
            raise UserError("An indices_tuple says itself which pairs are similar; omit labels.")
        return _of_tuple(pairs, size)
    pairs = _checked(pairs, size, "pairs")
    if labels is None:
        return pairs, torch.ones(len(pairs), dtype=torch.int8, device=pairs.device)
    if labels.shape != (len(pairs),):
        raise UserError(f"labels is {_kind(labels)} and there are {len(pairs)} pairs; give one label for each.")
    wrong = labels[(labels != 1) & (labels != -1)] if labels.dtype != torch.bool else labels
    if len(wrong):
        raise UserError(
            f"labels holds {wrong[0].item()}; a label is 1 (similar) or -1 (dissimilar). "
            "Labels of 0 and 1 become these by 2 * labels - 1."
        )
    return pairs, labels.to(torch.int8)


def _of_tuple(found: Sequence[Tensor], size: int) -> tuple[Tensor, Tensor]:
    if len(found) not in (3, 4):
        raise UserError(f"An indices_tuple has 3 or 4 tensors, not {len(found)}; give pairs as one tensor (P,2).")
    anchors, positives, others, negatives = found if len(found) == 4 else (found[0], found[1], found[0], found[2])
    kinds = []
    for left, right, name in ((anchors, positives, "positives"), (others, negatives, "negatives")):
        if left.shape != right.shape:
            raise UserError(f"The indices_tuple has {len(left)} anchors and {len(right)} {name}; give equally many.")
        both = _checked(torch.stack([left, right], dim=1), size, "indices_tuple")
        kinds.append(torch.unique(both.sort(dim=1).values, dim=0))
    label = torch.ones(sum(map(len, kinds)), dtype=torch.int8, device=kinds[0].device)
    label[len(kinds[0]) :] = -1
    return torch.cat(kinds), label


def _checked(pairs: Tensor, size: int, name: str) -> Tensor:
    if pairs.numel() == 0:
        return torch.zeros((0, 2), dtype=torch.int64, device=pairs.device)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point() or pairs.dtype == torch.bool:
        raise UserError(f"{name} is {_kind(pairs)}; give whole numbers (P,2), positions in the batch.")
    if int(pairs.min()) < 0 or int(pairs.max()) >= size:
        wrong = int(pairs.min()) if int(pairs.min()) < 0 else int(pairs.max())
        raise UserError(f"{name} holds {wrong}; positions in a batch of {size} photos are 0 to {size - 1}.")
    itself = pairs[:, 0] == pairs[:, 1]
    if bool(itself.any()):
        raise UserError(f"{name} holds photo {int(pairs[itself][0, 0])} with itself; leave such pairs out.")
    return pairs.long()


def _places(places: Tensor, size: int) -> Tensor:
    if places.shape != (size,) or places.is_floating_point():
        raise UserError(f"places is {_kind(places)}; give a whole number for each of {size} photos, -1 for none.")
    return places.long()


def _matrix(pairs: Tensor, size: int) -> Tensor:
    """bool (B,B), symmetric."""
    found = torch.zeros((size, size), dtype=torch.bool, device=pairs.device)
    i, j = pairs.T
    found[i, j] = found[j, i] = True
    return found


def _connected(edges: Tensor) -> Tensor:
    """Which two photos a path of edges connects, bool (B,B); edges symmetric."""
    found = edges | torch.eye(len(edges), dtype=torch.bool, device=edges.device)
    for _ in range(max(len(edges) - 1, 1).bit_length()):  # paths get twice as long each time
        found = (found.float() @ found.float()) > 0
    return found


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
