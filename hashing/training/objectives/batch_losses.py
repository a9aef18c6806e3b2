"""What each objective makes of a batch: the loss parts of one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training import distributed
from hashpipe.hashing.training.batches import Batch, Sampler
from hashpipe.hashing.training.objectives import bcdh, dsah, joint, official_dsah
from hashpipe.hashing.training.options import TrainOptions

_DSAH_TEMPERATURE = 0.1  # of information weights; at the published 1 they hardly differ


class Network(Protocol):
    """A network that learns together with a head (finetune.py)."""

    parameters: list[Tensor]
    step: int

    def look(self, rows: Tensor, part: slice) -> Tensor:
        """x float32 (P,d) of the photos rows[part] of a batch, with gradient."""

    def finish_backward(self) -> None:
        """Bring the gradient of what `look` gave to the parameters."""

    def describe_all(self) -> Tensor:
        """x float32 (N,d) of all photos, without gradient."""

    def rate(self, step: int) -> float:
        """Factor of the step size."""


@dataclass
class State:
    """What a fit carries along. x float32 (N,d); binary float32 (N,k) of ±1; hidden: (d,m), (m,), (m,k), of a hidden
    layer beside the linear one; local: its units speak near photos learnt from alone (local.py)."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    binary: Tensor
    deviation: Tensor
    geometry: Tensor
    look: Callable[[Tensor, slice], Tensor] | None = None  # x computed anew by a network that learns too
    hidden: tuple[Tensor, Tensor, Tensor] | None = None
    local: bool = False

    def first(self, bits: int) -> State:
        """The same with the first bits alone."""
        deep = None if self.hidden is None else (*self.hidden[:2], self.hidden[2][:, :bits])
        weight, bias, binary = self.weight[:, :bits], self.bias[:bits], self.binary[:, :bits]
        return replace(self, weight=weight, bias=bias, binary=binary, hidden=deep)

    def outputs(self, x: Tensor) -> Tensor:
        """u before the bias, (B,k)."""
        u = x @ self.weight
        if self.hidden is not None:
            inner, bias, outer = self.hidden
            u = u + torch.relu(x @ inner + bias) @ outer
        return u

    def codes(self, x: Tensor) -> Tensor:
        return torch.tanh(self.outputs(x) + self.bias)

    def all_codes(self) -> np.ndarray:
        with torch.no_grad():
            return self.codes(self.x).numpy()


def of_objective(options: TrainOptions) -> Callable[..., dict[str, Tensor]]:
    """The function (state, batch, sampler, options, noise, progress) -> loss parts of the options' objective."""
    return {"joint": _joint, "bcdh": _bcdh, "dsah": _dsah}[options.objective]


def _joint(
    state: State,
    batch: Batch,
    sampler: Sampler,
    options: TrainOptions,
    noise: Tensor | torch.Generator,
    progress: float,
) -> dict[str, Tensor]:
    amount, rows = options.joint, torch.from_numpy(batch.rows)
    h = _codes(state, rows, options.noise, noise)
    unit = functional.normalize(h, dim=1, eps=1e-12)
    cosine, negative = unit @ unit.T, torch.from_numpy(batch.negative)
    binary = state.binary[rows] if options.binary_step else signs(h.detach())
    left, parts = torch.arange(batch.pairs), {}
    right = left + batch.pairs
    known = len(sampler.similar) > 0
    for name, part in (("pairwise", slice(0, batch.sure)), ("neighbours", slice(batch.sure, batch.pairs))):
        i, j = left[part], right[part]
        if not len(i):
            continue
        value = joint.contrast(cosine, i, j, negative, options.temperature)
        if options.information:
            value = value * joint.pair_information(cosine[i, j], options.temperature)
        parts[name] = (amount.neighbours if name == "neighbours" and known else amount.pairwise) * value.mean()
    if options.pairwise and batch.sure:
        parts["constraint"] = amount.constraint * _constraint(h, binary, batch, sampler, options)
    rest = slice(2 * batch.pairs, None) if len(rows) > 2 * batch.pairs else slice(None)
    if options.preserve:
        near = state.geometry[rows[rest]]
        parts["preserve"] = amount.preserve * joint.preserve(cosine[rest, rest], near @ near.T)
    parts["quantise"] = amount.quantise * joint.quantise(h, binary)
    if options.balance:
        parts["balance"] = amount.balance * joint.balance(h[rest])
    return parts


def _constraint(h: Tensor, binary: Tensor, batch: Batch, sampler: Sampler, options: TrainOptions) -> Tensor:
    """Pairwise constraint of the batch's known pairs, and of its pairs of photos of different groups."""
    i = torch.arange(batch.sure)
    together = joint.constraint(h, binary, i, i + batch.pairs, torch.ones_like(i), options.margin)
    shuffled = torch.from_numpy(sampler.generator.permutation(batch.sure))
    apart_known = torch.from_numpy(batch.negative)[i, shuffled + batch.pairs]
    apart = joint.constraint(h, binary, i, shuffled + batch.pairs, -torch.ones_like(i), options.margin)
    return together.mean() + (apart * apart_known).sum() / apart_known.sum().clamp(min=1)


def _bcdh(
    state: State,
    batch: Batch,
    sampler: Sampler,
    options: TrainOptions,
    noise: Tensor | torch.Generator,
    progress: float,
) -> dict[str, Tensor]:
    pairs, label = sampler.labelled(options.batch_pairs * distributed.count())
    i, j = torch.arange(len(pairs)), torch.arange(len(pairs)) + len(pairs)
    rows = torch.from_numpy(np.concatenate([pairs[:, 0], pairs[:, 1]]))
    if not len(pairs):
        rows = torch.from_numpy(batch.rows)
    h = _codes(state, rows, options.noise, noise)
    bits = h.shape[1]
    binary = state.binary[rows] if options.binary_step else signs(h.detach())
    strength = bcdh.penalty(bits, progress)
    parts = bcdh.loss(h, binary, i, j, torch.from_numpy(label), options.margin * bits, strength)
    return {name: value / bits for name, value in parts.items()}


def _dsah(
    state: State,
    batch: Batch,
    sampler: Sampler,
    options: TrainOptions,
    noise: Tensor | torch.Generator,
    progress: float,
) -> dict[str, Tensor]:
    rows = torch.from_numpy(np.unique(batch.rows))
    h = _codes(state, rows, 0.0 if options.faithful else options.noise, noise)
    target = torch.from_numpy(np.where(sampler.neighbours(rows.numpy()), 1.0, -1.0).astype(np.float32))
    if options.faithful:
        return official_dsah.loss(h, target, options.information)
    return dsah.loss(h, target, _DSAH_TEMPERATURE, 1.0 / h.shape[1], options.information, False)


def composition(options: TrainOptions, sampler: Sampler) -> tuple[int, int, int]:
    pairs, others, ranks = options.batch_pairs, options.batch_others, distributed.count()
    if options.objective == "dsah":
        return (0, 0, official_dsah.BATCH * ranks) if options.faithful else (0, pairs // 2 * ranks, others * ranks)
    known = pairs * ranks if options.pairwise and len(sampler.similar) else 0
    found = pairs * ranks if options.neighbours else 0
    return known, found if known else 2 * found, others * ranks


def _codes(state: State, rows: Tensor, noise: float, generator: Any) -> Tensor:
    """Relaxed codes of a batch, from stored descriptors with noise or as a network sees the photos now."""
    look = state.look
    if look is not None:
        return distributed.gathered(lambda part: state.codes(look(rows, part)), len(rows))
    x = _noisy(state, rows, noise, generator)
    return distributed.gathered(lambda part: state.codes(x[part]), len(rows))


def _noisy(state: State, rows: Tensor, amount: float, generator: Any) -> Tensor:
    x = state.x[rows]
    return x + amount * state.deviation * torch.randn(x.shape, generator=generator) if amount else x


def signs(h: Tensor) -> Tensor:
    return torch.where(h >= 0, 1.0, -1.0)
