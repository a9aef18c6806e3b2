"""Learn hash layers on descriptors, in memory: one head for each code length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing import neighbours
from hashpipe.hashing.batches import Batch, Sampler
from hashpipe.hashing.network import Head
from hashpipe.hashing.objectives import bcdh, dsah, joint
from hashpipe.hashing.options import TrainOptions
from hashpipe.hashing.space import fit_space, itq
from hashpipe.hashing.targets import Targets, no_targets
from hashpipe.hashing.threads import one_torch_thread
from hashpipe.pairgen.errors import UserError
from hashpipe.pairgen.progress import stage

Record = Callable[[dict[str, Any]], None]
ROUNDS = 4  # B-steps and rounds of neighbour discovery, evenly over the steps
_REPORT = 20  # steps between two lines of metrics
_CENTRE, _CENTRE_ON = 10, 4096  # steps between two re-centrings, and the photos they look at
_CANDIDATES = 20  # nearest in code space that hard negatives are looked for among
_ADDED = 3  # neighbours that one round may add to a photo


def fit_heads(
    descriptors: np.ndarray, targets: Targets, options: TrainOptions, record: Record | None = None
) -> dict[int, Head]:
    """Learn one head for each length in options.bits.

    descriptors: float32 (N,D), unit rows; targets over the same N rows. `record` receives metrics now and then. The
    same input, options and seed give the same heads. Raises UserError without a single photo, or for values that are
    no numbers.
    """
    descriptors = np.asarray(descriptors, np.float32)
    if len(descriptors) != len(targets):
        raise ValueError(f"{len(descriptors)} descriptors but targets over {len(targets)} rows")
    if not len(descriptors):
        raise UserError("There is no readable photo to learn from; check that the photos are where they were.")
    if not np.isfinite(descriptors).all():
        raise UserError("Descriptors hold values that are no numbers; pass intact weights with --weights.")
    space = fit_space(descriptors, options.pca, options.seed)
    x = space(descriptors)
    heads = {}
    with one_torch_thread():
        for bits in options.bits:
            with stage(f"learn {bits} bits", options.steps, "steps") as advance:
                weight, bias = _fit(x, targets, options, bits, advance, record or (lambda line: None))
            heads[bits] = space.head(weight, bias)
    return heads


def uses_pairs(options: TrainOptions) -> bool:
    """Whether pairs from 3D take part: dsah is neighbour discovery alone."""
    return options.pairs and options.objective != "dsah"


@dataclass
class _State:
    """What a fit carries along. x float32 (N,d); binary float32 (N,k) of ±1; edges int64 (E,2)."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    binary: Tensor
    deviation: Tensor
    geometry: Tensor

    def codes(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight + self.bias)

    def all_codes(self) -> np.ndarray:
        with torch.no_grad():
            return self.codes(self.x).numpy()


def _fit(
    x: np.ndarray, targets: Targets, options: TrainOptions, bits: int, advance: Callable[[int], None], record: Record
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng([options.seed, bits])
    noise = torch.Generator().manual_seed(int(generator.integers(2**62)))
    inputs = torch.from_numpy(x)
    weight = torch.from_numpy(itq(x, bits, options.seed)).requires_grad_()
    bias = torch.zeros(bits, requires_grad=True)
    state = _State(
        inputs,
        weight,
        bias,
        torch.empty(0),
        inputs.std(0, correction=0),
        functional.normalize(inputs, dim=1, eps=1e-12),
    )
    if not uses_pairs(options):
        targets = no_targets(len(targets))
    sampler = Sampler(targets, generator)
    sampler.set_edges(sampler.undecided(_first_edges(state.geometry.numpy(), options)))
    state.binary = _signs(torch.from_numpy(state.all_codes()))
    faithful = options.objective == "dsah" and options.faithful
    rate, epsilon = (1e-4, 1.0) if faithful else (options.learning_rate, 1e-8)
    optimiser = torch.optim.Adam([weight, bias], lr=rate, eps=epsilon)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, options, faithful))
    loss = {"joint": _joint, "bcdh": _bcdh, "dsah": _dsah}[options.objective]
    every = max(1, options.steps // ROUNDS)
    sample = inputs[torch.from_numpy(generator.permutation(len(x))[:_CENTRE_ON])]
    for step in range(options.steps):
        if step and step % every == 0:
            _new_round(state, sampler, options, step // every)
        if options.recentre and step % _CENTRE == 0:
            _centre(state, sample)
        batch = sampler.draw(*_composition(options, sampler))
        parts = loss(state, batch, sampler, options, noise, step / options.steps)
        total = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        schedule.step()
        advance(1)
        if step % _REPORT == 0 or step == options.steps - 1:
            values = {name: float(value.detach()) for name, value in parts.items()}
            record({"bits": bits, "step": step, "loss": sum(values.values()), **values, "edges": len(sampler.edges)})
    if options.recentre:
        _centre(state, inputs)
    return weight.detach().numpy(), bias.detach().numpy()


# -- the objectives' use of a batch -----------------------------------------------------------------------------------


def _joint(
    state: _State,
    batch: Batch,
    sampler: Sampler,
    options: TrainOptions,
    noise: Tensor | torch.Generator,
    progress: float,
) -> dict[str, Tensor]:
    """What 3D says counts the less, the more of the photos it covers: with all of them in labelled places nothing else
    is left to tell apart, and bits spent on these places are missing for others."""
    amount, rows = options.joint, torch.from_numpy(batch.rows)
    h = state.codes(_noisy(state, rows, options.noise, noise))
    unit = functional.normalize(h, dim=1, eps=1e-12)
    cosine, negative = unit @ unit.T, torch.from_numpy(batch.negative)
    binary = state.binary[rows] if options.binary_step else _signs(h.detach())
    left, parts = torch.arange(batch.pairs), {}
    right, reach = left + batch.pairs, max(amount.least_reach, 1 - sampler.covered**2)
    for name, part in (("pairwise", slice(0, batch.sure)), ("neighbours", slice(batch.sure, batch.pairs))):
        i, j = left[part], right[part]
        if not len(i):
            continue
        value = joint.contrast(cosine, i, j, negative, options.temperature)
        if options.information:
            value = value * joint.pair_information(cosine[i, j], options.temperature)
        parts[name] = getattr(amount, name) * (reach if name == "pairwise" else 1.0) * value.mean()
    if options.pairwise and batch.sure:
        parts["constraint"] = amount.constraint * reach * _constraint(h, binary, batch, sampler, options)
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
    state: _State,
    batch: Batch,
    sampler: Sampler,
    options: TrainOptions,
    noise: Tensor | torch.Generator,
    progress: float,
) -> dict[str, Tensor]:
    pairs, label = sampler.labelled(options.batch_pairs)
    i, j = torch.arange(len(pairs)), torch.arange(len(pairs)) + len(pairs)
    rows = torch.from_numpy(np.concatenate([pairs[:, 0], pairs[:, 1]]))
    if not len(pairs):
        rows = torch.from_numpy(batch.rows)
    h = state.codes(_noisy(state, rows, options.noise, noise))
    bits = h.shape[1]
    binary = state.binary[rows] if options.binary_step else _signs(h.detach())
    strength = 0.1 * bits * 2.0 ** int(progress * ROUNDS)  # λ doubles with every round
    parts = bcdh.loss(h, binary, i, j, torch.from_numpy(label), options.margin * bits, strength)
    return {name: value / bits for name, value in parts.items()}


def _dsah(
    state: _State,
    batch: Batch,
    sampler: Sampler,
    options: TrainOptions,
    noise: Tensor | torch.Generator,
    progress: float,
) -> dict[str, Tensor]:
    rows = torch.from_numpy(np.unique(batch.rows))
    h = state.codes(state.x[rows] if options.faithful else _noisy(state, rows, options.noise, noise))
    target = torch.from_numpy(np.where(sampler.neighbours(rows.numpy()), 1.0, -1.0).astype(np.float32))
    if options.faithful:
        return dsah.loss(h, target, 1.0, 0.0, options.information, True)
    return dsah.loss(h, target, options.temperature, 1.0 / h.shape[1], options.information, False)


def _composition(options: TrainOptions, sampler: Sampler) -> tuple[int, int, int]:
    if options.objective == "dsah":
        return (0, 0, 50) if options.faithful else (0, options.batch_pairs // 2, options.batch_others)
    pairs = options.batch_pairs if options.pairwise else 0
    return pairs, options.batch_pairs if options.neighbours else 0, options.batch_others


# -- between rounds ---------------------------------------------------------------------------------------------------


def _new_round(state: _State, sampler: Sampler, options: TrainOptions, number: int) -> None:
    """Neighbour discovery, hard negatives and the B-step, with the codes as they are now."""
    h = state.all_codes()
    if options.objective != "bcdh" and options.neighbours:
        unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
        drop = None if options.objective == "dsah" and options.faithful else 2.0
        sampler.set_edges(sampler.undecided(neighbours.adapt(unit, sampler.edges, 0.0, _ADDED, drop)))
    if options.objective == "bcdh":
        near, _ = neighbours.nearest(h, _CANDIDATES)
        sampler.set_hard(near)
    if options.binary_step:
        pairs, label = sampler.all_labelled()
        margin = options.margin * h.shape[1]
        binary = bcdh.binary_step(h, state.binary.numpy(), pairs[:, 0], pairs[:, 1], label, margin, len(h) * 0.5)
        state.binary = torch.from_numpy(binary)
    else:
        state.binary = _signs(torch.from_numpy(h))


def _centre(state: _State, x: Tensor) -> None:
    """Move every bit's bias so that its median over x is 0: codes are learnt as they will be used, re-centred."""
    with torch.no_grad():
        state.bias.copy_(-(x @ state.weight).median(dim=0).values)


def _first_edges(geometry: np.ndarray, options: TrainOptions) -> np.ndarray:
    if options.objective == "bcdh" or (options.objective == "joint" and not options.neighbours):
        return np.zeros((0, 2), np.int64)
    if options.objective == "dsah":
        k = min(100, max(options.neighbourhood, len(geometry) // 50))
        return neighbours.initial(geometry, k, k)
    return neighbours.mutual(geometry, options.neighbourhood)[0]


def _noisy(state: _State, rows: Tensor, amount: float, generator: Any) -> Tensor:
    x = state.x[rows]
    return x + amount * state.deviation * torch.randn(x.shape, generator=generator) if amount else x


def _rate(step: int, options: TrainOptions, faithful: bool) -> float:
    if faithful:
        return 0.99 ** (step // 200)
    return 0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * step / max(options.steps, 1))))


def _signs(h: Tensor) -> Tensor:
    return torch.where(h >= 0, 1.0, -1.0)
