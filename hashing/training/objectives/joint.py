"""The project's own objective: 3D pairs where geometry speaks, discovered neighbours elsewhere, in one contrast.

Parts, each a scalar that can be left out (weights in options.JointWeights):

pairwise    pairs known similar from 3D, drawn together against everything in the batch that may count as dissimilar
neighbours  the same for discovered neighbours, which are guesses and carry a confidence
constraint  the hinge of the pairwise constrained loss on known pairs, per bit, against binary codes (bcdh)
preserve    squared gap between code cosine and descriptor cosine on random photos: keeps the float geometry
quantise    cosine gap between relaxed and binary codes
balance     mean² and squared off-diagonal covariance of bits over random photos: no bit is wasted

Contrast of a pair (i,j), both ways: -log e^{c_ij/τ} / (e^{c_ij/τ} + Σ_{l negative to i} e^{c_il/τ}). Each is multiplied
by its pairwise information content relative to its kind's mean, so that pairs whose codes are far apart count more.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.objectives import information

_NEVER = -1e4  # logit of what is no negative


def contrast(cosine: Tensor, i: Tensor, j: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Contrast of pairs (i,j) of a batch, (P,).

    cosine: (B,B); i, j: int64 (P,); negative: bool (B,B), True where two photos may count as dissimilar.
    """
    repelled = torch.where(negative, cosine / temperature, cosine.new_tensor(_NEVER)).logsumexp(1)
    positive = cosine[i, j] / temperature
    forth = torch.logaddexp(positive, repelled[i]) - positive
    back = torch.logaddexp(positive, repelled[j]) - positive
    return (forth + back) / 2


def pair_information(cosine: Tensor, temperature: float) -> Tensor:
    """Relative pairwise information content of pairs with these cosines (P,), mean 1, no gradient."""
    cosine = cosine.detach()
    counted = torch.ones_like(cosine, dtype=torch.bool)
    return information.relative(information.weights(cosine[None], temperature, counted[None])[0], counted)


def constraint(h: Tensor, binary: Tensor, i: Tensor, j: Tensor, label: Tensor, margin: float) -> Tensor:
    """Pairwise constrained loss per bit of pairs (i,j), (P,): one side binary, the other relaxed, both ways.

    margin: share of the bits. Values are Hamming distances as shares of the bits once codes are binary.
    """
    forth = (binary[i] - h[j]).square().mean(1) / 4
    back = (binary[j] - h[i]).square().mean(1) / 4
    apart = ((margin - forth).clamp(min=0) + (margin - back).clamp(min=0)) / 2
    return torch.where(label > 0, (forth + back) / 2, apart)


def preserve(cosine: Tensor, geometry: Tensor) -> Tensor:
    """Mean squared gap of two (R,R) cosine matrices off the diagonal, scalar."""
    n = len(cosine)
    if n < 2:
        return cosine.sum() * 0
    return (cosine - geometry).square().fill_diagonal_(0).sum() / (n * (n - 1))


def quantise(h: Tensor, binary: Tensor) -> Tensor:
    """1 - cos(h_i, b_i), mean over photos, scalar."""
    return (1 - functional.cosine_similarity(h, binary, dim=1, eps=1e-12)).mean()


def balance(h: Tensor) -> Tensor:
    """Mean² plus squared off-diagonal covariance of bits, per bit, scalar; h (R,k)."""
    mean = h.mean(0)
    centred = h - mean
    covariance = centred.T @ centred / max(len(h), 1)
    off = covariance - torch.diag(torch.diag(covariance))
    return mean.square().mean() + off.square().sum() / h.shape[1]
