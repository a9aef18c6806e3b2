"""Learn hash layers on descriptors, in memory: one head for each code length."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.common.progress import stage
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.features.threads import one_torch_thread
from hashpipe.hashing.models.network import Head
from hashpipe.hashing.training import distributed, matryoshka, neighbours, neighbours_large
from hashpipe.hashing.training.batches import Sampler
from hashpipe.hashing.training.checkpoint import Course, Moving
from hashpipe.hashing.training.objectives import bcdh, official_dsah
from hashpipe.hashing.training.objectives.batch_losses import Network, State, composition, of_objective, signs
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import fit_space
from hashpipe.hashing.training.prototype_units import PRESERVE, SHARPEN, SHORT, local_units
from hashpipe.hashing.training.start import first_edges, start_weights

ROUNDS = bcdh.ROUNDS  # B-steps and rounds of neighbour discovery, evenly over the steps
_CENTRE, _CENTRE_ON = 10, 4096  # steps between two re-centrings, and the photos they look at
_CANDIDATES = 20  # nearest in code space that hard negatives are looked for among
_ADDED = 3  # neighbours that one round may add to a photo
HIDDEN_FROM = 2000  # photos; with fewer a hidden layer learns them by heart
Deep = tuple[np.ndarray, np.ndarray, np.ndarray]  # of a hidden layer: float32 (d,m), (m,), (m,k)


def fit_heads(
    descriptors: np.ndarray,
    targets: Targets,
    options: TrainOptions,
    record: Callable[[dict[str, Any]], None] | None = None,
    course: Course | None = None,
    start: Mapping[int, Head] | None = None,
) -> dict[int, Head]:
    """Learn one head for each length in options.bits.

    descriptors: float32 (N,D), unit rows; targets over the same N rows. `record` receives metrics now and then. The
    same input, options and seed give the same heads. `course` keeps checkpoints and validates; heads in `start` are
    gone on from, instead of ITQ. Raises UserError without a single photo, or for values that are no numbers.
    """
    course = course or Course(record=record or (lambda line: None))
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
        for bits in options.bits[-1:] if options.nested else options.bits:
            found = course.finished(str(bits))
            if found is None:
                before = start.get(bits) if start else None
                first, deep = (None, None) if before is None else (space.weight(before), space.hidden(before))
                found = fit_layer(x, targets, options, bits, course, first, deep=deep)
                course.finish(str(bits), found)
            whole = replace(space.head(*found), local=_is_short(targets, options, bits))
            for length in options.bits if options.nested else (bits,):
                heads[length] = whole.first(length)
    return heads


def uses_pairs(options: TrainOptions) -> bool:
    """Whether pairs from 3D take part: dsah is neighbour discovery alone."""
    return options.pairs and options.objective != "dsah"


def fit_layer(
    x: np.ndarray,
    targets: Targets,
    options: TrainOptions,
    bits: int,
    course: Course,
    first: np.ndarray | None = None,
    network: Network | None = None,
    deep: Deep | None = None,
) -> tuple[np.ndarray, ...]:
    """Weight (d,bits) and bias (bits,), from `first` or ITQ, and perhaps the three arrays of a hidden layer, from
    `deep` or one that says nothing yet; a network that learns too is changed in place.

    joint starts at ITQ of the photos without labels, as pairs teach the others. Short codes of known pairs start at the
    principal axes, turned to those photos, and have a hidden layer of local units for the others, which stay as they
    are and only what they say is learnt.
    """
    generator = np.random.default_rng([options.seed, bits])
    noise = torch.Generator().manual_seed(int(generator.integers(2**62)))
    inputs = torch.from_numpy(x)
    lengths = options.bits if options.nested else (bits,)
    short = network is None and deep is None and _is_short(targets, options, bits)
    if short:
        kept = replace(options.joint, preserve=PRESERVE * options.joint.preserve)
        options = replace(options, joint=kept, temperature=SHARPEN * options.temperature)
    if not uses_pairs(options):
        targets = no_targets(len(targets))
    if first is None:
        first = start_weights(x, targets, options, bits, short)
    weight = torch.tensor(first, requires_grad=True)
    bias = torch.zeros(bits, requires_grad=True)
    state = State(
        inputs,
        weight,
        bias,
        torch.empty(0),
        inputs.std(0, correction=0),
        functional.normalize(inputs, dim=1, eps=1e-12),
        None if network is None else network.look,
    )
    sampler = Sampler(targets, generator)
    sampler.set_edges(sampler.undecided(first_edges(state.geometry.numpy(), options)))
    if short:
        units, thresholds = local_units(x, targets.group, sampler.edges, options.joint.unit_margin)
        state.local = len(thresholds) > 0
        deep = (units, thresholds, np.zeros((len(thresholds), bits), np.float32)) if state.local else None
    elif deep is None and network is None:
        deep = _quiet_layer(inputs.shape, bits, options)
    if deep is not None:
        inner, inner_bias, outer = (torch.tensor(one, requires_grad=not short) for one in deep)
        state.hidden = (inner, inner_bias, outer.requires_grad_())
    state.binary = signs(torch.from_numpy(state.all_codes()))
    official = official_dsah.applies(options)
    steps = official_dsah.steps(options, len(x)) if official and network is None else options.steps
    rounds = official_dsah.ROUNDS if official else ROUNDS
    rate, epsilon = (official_dsah.RATE, official_dsah.EPSILON) if official else (options.learning_rate, 1e-8)
    learnt = [one for one in (weight, bias, *(state.hidden or ())) if one.requires_grad]
    optimiser = torch.optim.Adam(learnt, lr=rate, eps=epsilon)
    rates = [official_dsah.decay if official else lambda step: _rate(step, steps)]
    if network is not None:
        optimiser.add_param_group({"params": network.parameters, "lr": options.tune.finetune_rate})
        rates.append(network.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rates)
    loss = of_objective(options)
    every = max(1, steps // rounds)
    epoch = -(-len(sampler.similar) // (options.batch_pairs * distributed.count())) or every  # steps to see each pair
    sample = torch.from_numpy(generator.permutation(len(x))[:_CENTRE_ON])
    moving = Moving(state, sampler, optimiser, schedule, generator, noise, network)
    begin = course.begin("network" if network is not None else str(bits), moving)
    with stage(f"learn {bits} bits" if network is None else "fine-tune", steps, "steps") as advance:
        advance(begin)
        for step in range(begin, steps):
            if step and step % every == 0:
                if network is not None:
                    state.x = network.describe_all()  # as it sees them now
                _new_round(state, sampler, options, step / steps)
            if options.objective == "bcdh" and step % epoch == 0:
                sampler.set_hard(neighbours.nearest(state.all_codes(), _CANDIDATES)[0])
            if options.recentre and step % _CENTRE == 0:
                _centre(state, state.x[sample])
            if network is not None:
                network.step = step
            batch = sampler.draw(*composition(options, sampler))
            parts = matryoshka.parts(
                lambda k: loss(state.first(k), batch, sampler, options, noise, step / steps),  # noqa: B023
                lengths,
            )
            optimiser.zero_grad()
            torch.stack(list(parts.values())).sum().backward()
            if network is not None:
                network.finish_backward()
            distributed.sum_gradients(moving.parameters)
            optimiser.step()
            schedule.step()
            advance(1)
            if course.after(step, steps, bits, parts, moving):
                break
    course.end(moving)
    if network is None and len(sampler.similar):
        _go_back(state, torch.from_numpy(first), options)
        if state.local:
            _learn_units(state, sampler, options, loss, noise)
    if options.recentre:
        _centre(state, inputs)
    return tuple(one.detach().numpy() for one in (weight, bias, *(state.hidden or ())))


# -- between rounds ---------------------------------------------------------------------------------------------------


def _new_round(state: State, sampler: Sampler, options: TrainOptions, progress: float) -> None:
    """Neighbour discovery and the B-step, with the codes as they are now."""
    h = state.all_codes()
    if options.objective != "bcdh" and options.neighbours:
        drop = None if official_dsah.applies(options) else 2.0
        if len(h) > neighbours_large.EXACT:
            edges = neighbours_large.adapt(packing.pack(h), h.shape[1], sampler.edges, 0.0, _ADDED, drop)
        else:
            unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
            edges = neighbours.adapt(unit, sampler.edges, 0.0, _ADDED, drop)
        sampler.set_edges(sampler.undecided(edges))
    if options.binary_step:
        pairs, label = sampler.all_labelled()
        bits = h.shape[1]
        margin = options.margin * bits
        pull = bcdh.penalty(bits, progress) if options.objective == "bcdh" else len(h) * 0.5
        binary = bcdh.binary_step(h, state.binary.numpy(), pairs[:, 0], pairs[:, 1], label, margin, pull)
        state.binary = torch.from_numpy(binary)
    else:
        state.binary = signs(torch.from_numpy(h))


def _go_back(state: State, first: Tensor, options: TrainOptions) -> None:
    """Take long linear codes of joint a share of the way back to where they began.

    They have bits to spare for known places, and places never seen gain (docs/RESULTS.md). Weights are interpolated as
    Wortsman et al. do in Robust fine-tuning of zero-shot models, CVPR 2022.
    """
    if options.objective != "joint" or options.nested or state.hidden is not None or first.shape[1] <= SHORT:
        return
    with torch.no_grad():
        state.weight.lerp_(first, way_back(options.joint.back, first.shape[1]))


def way_back(share: float, bits: int) -> float:
    """`share` for codes of up to 32 bits, a third of it more for each time that they are twice as long, at most 1."""
    return min(1.0, share * (1 + math.log2(max(bits, 32) / 32) / 3))


def _learn_units(
    state: State,
    sampler: Sampler,
    options: TrainOptions,
    loss: Callable[..., dict[str, Tensor]],
    noise: torch.Generator,
) -> None:
    """Let local units learn on what to say, beside a linear layer that stays as it has become."""
    assert state.hidden is not None
    outer, steps = state.hidden[2], round(options.joint.units_alone * options.steps)
    state.weight.requires_grad_(False)
    state.bias.requires_grad_(False)
    state.binary = signs(torch.from_numpy(state.all_codes()))
    optimiser = torch.optim.Adam([outer], lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    for step in range(steps):
        if options.recentre and step % _CENTRE == 0:
            _centre(state, state.x)
        batch = sampler.draw(*composition(options, sampler))
        parts = loss(state, batch, sampler, options, noise, 1.0)
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        distributed.sum_gradients([outer])
        optimiser.step()
        schedule.step()


def _centre(state: State, x: Tensor) -> None:
    """Move every bit's bias so that its median over x is 0: codes are learnt as they will be used, re-centred.

    Local units are left out, as elsewhere they say nothing.
    """
    with torch.no_grad():
        u = x @ state.weight if state.local else state.outputs(x)
        state.bias.copy_(-u.median(dim=0).values)


def _is_short(targets: Targets, options: TrainOptions, bits: int) -> bool:
    """Whether a code has local units: few bits, and few photos with known pairs."""
    pairs = options.pairwise and uses_pairs(options) and len(targets.similar) > 0
    fits = options.objective == "joint" and not options.nested and options.hidden > 0
    return pairs and fits and bits <= SHORT and len(targets) < HIDDEN_FROM


def _quiet_layer(shape: Sequence[int], bits: int, options: TrainOptions) -> Deep | None:
    """A hidden layer that starts at nothing: random directions of descriptors (N,d), outputs of zero.

    None where there are too few photos for one, and for the objectives of others.
    """
    photos, width = shape
    if photos < HIDDEN_FROM or not options.hidden or options.objective != "joint":
        return None
    inner = np.random.default_rng([options.seed, bits, 1]).normal(size=(width, options.hidden))
    zeros = np.zeros(options.hidden, np.float32)
    return inner.astype(np.float32), zeros, np.zeros((options.hidden, bits), np.float32)


def _rate(step: int, steps: int) -> float:
    return 0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * step / max(steps, 1))))
