"""The training loop: descriptors and what is known of them to heads, one for each code length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.common.progress import stage
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.features.stored_maps import Maps, maps_of
from hashpipe.hashing.features.threads import one_torch_thread
from hashpipe.hashing.models.heads import Head, stored_head
from hashpipe.hashing.training import discovery, distributed, matryoshka, nearest, placement
from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.finetuned_network import Network
from hashpipe.hashing.training.heads import head_class, reads_maps
from hashpipe.hashing.training.heads.base import MapHead
from hashpipe.hashing.training.objectives import dead_bits, objective_class
from hashpipe.hashing.training.objectives.base import Recipe
from hashpipe.hashing.training.optimiser import make_optimiser
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import BLOCK, Pca, fit_pca, itq
from hashpipe.hashing.training.recipes import check_needs, head_of, method_of, recipe_of, uses_pairs
from hashpipe.hashing.training.sampler import Sampler
from hashpipe.hashing.training.train_state import TrainState
from hashpipe.hashing.training.update import update

_CENTRE, _CENTRE_ON = 10, 4096  # steps between two re-centrings, and the photos they are taken over
_TOLD = 20  # steps between two losses beside the bar
_CANDIDATES = 20  # nearest in code space that hard negatives are looked for among


def fit_heads(
    descriptors: np.ndarray,
    targets: Targets,
    options: TrainOptions,
    record: Callable[[dict[str, Any]], None] | None = None,
    checkpoint: Checkpoint | None = None,
    start: Mapping[int, Head] | None = None,
    maps: Maps | np.ndarray | None = None,
) -> dict[int, Head]:
    """Learn one head for each length in options.bits.

    descriptors: float (N,D), unit rows, many as float16 in a memory-mapped file; targets over the same N rows. `record`
    receives metrics now and then. The same input, options and seed give the same heads. `checkpoint` keeps checkpoints
    and validates; learning goes on from the heads in `start`, instead of ITQ. A head that reads maps learns from `maps`
    (N,C,g,g), and where it is told of descriptors they are the means of these. Raises UserError without a single photo,
    or for values that are no numbers.
    """
    checkpoint = checkpoint or Checkpoint(record=record or (lambda line: None))
    read = _maps_read(options, maps)
    descriptors = np.asanyarray(descriptors) if read is None else read.pooled()
    if len(descriptors) != len(targets):
        raise ValueError(f"{len(descriptors)} descriptors but targets over {len(targets)} rows")
    if not len(descriptors):
        raise UserError("There is no readable photo to learn from; check that the photos are where they were.")
    if not all(np.isfinite(descriptors[start : start + BLOCK]).all() for start in range(0, len(descriptors), BLOCK)):
        raise UserError("Descriptors hold values that are not finite; pass intact weights with --weights.")
    if not uses_pairs(options):
        targets = no_targets(len(targets))
    check_needs(options, targets)
    pca = fit_pca(descriptors, options.pca, options.seed)
    x = pca(descriptors)
    heads = {}
    with one_torch_thread():
        for bits in options.bits[-1:] if options.matryoshka else options.bits:
            found = checkpoint.finished(str(bits))
            if found is None:
                before = start.get(bits) if start else None
                weight = None if before is None else pca.weight(before)
                learnt_from = None if read is None else (read, pca)
                learnt = fit_head(x, targets, options, bits, checkpoint, weight, maps=learnt_from)
                whole = learnt.folded(pca)
                if learnt.bit_weights is not None:
                    whole = whole.by_weight(learnt.bit_weights)
                checkpoint.finish(str(bits), whole.stored)
            else:
                whole = stored_head(found, "")
            for length in options.bits if options.matryoshka else (bits,):
                heads[length] = whole.first(length)
    return heads


def _maps_read(options: TrainOptions, maps: Maps | np.ndarray | None) -> Maps | None:
    """The maps that the head reads, None where it reads descriptors."""
    if not reads_maps(head_of(options)):
        return None
    if maps is None:
        raise ValueError(f"the head {head_of(options)} reads maps and none are given")
    return maps_of(maps) if isinstance(maps, np.ndarray) else maps


def fit_head(
    x: np.ndarray,
    targets: Targets,
    options: TrainOptions,
    bits: int,
    checkpoint: Checkpoint,
    start: np.ndarray | None = None,
    network: Network | None = None,
    maps: tuple[Maps, Pca] | None = None,
) -> Any:
    """Learn a head of `bits` outputs on x float32 (N,d), from weights `start` (d,bits) or ITQ.

    A network that learns too is changed in place. maps: for a head that reads them, with the PCA that makes x of their
    means. Returns the head, a `TrainedHead`.
    """
    recipe = recipe_of(options, len(targets.similar) > 0, len(x))
    state, first, sample = _begin(x, targets, options, recipe, bits, start, network, maps)
    lengths = options.bits if options.matryoshka else (bits,)
    every = max(1, recipe.steps // recipe.rounds)
    epoch = -(-len(targets.similar) // (max(recipe.pairs, 1) * distributed.count())) or every
    name = "network" if network is not None else str(bits)
    loss = partial(dead_bits.rescued, state.objective) if options.amplify else state.objective.loss
    done = checkpoint.begin(name, state)
    with stage(f"learn {bits} bits" if network is None else "fine-tune", recipe.steps, "steps") as advance:
        advance(done)
        for step in range(done, recipe.steps):
            progress = step / recipe.steps
            if step and step % every == 0:
                _new_round(state, recipe, progress, checkpoint, step)
            if recipe.hard and step % epoch == 0:
                state.sampler.set_hard(nearest.nearest(torch.tanh(state.outputs()), _CANDIDATES)[0])
            if options.recentre and step % _CENTRE == 0:
                state.head.centre(state.seen(sample))
            batch = _draw(state, recipe, step, progress)
            parts = update(state, loss, batch, lengths, f"step {step} of {bits} bits")
            advance(1, _loss(parts) if step % _TOLD == 0 or step == recipe.steps - 1 else "")
            if checkpoint.after(step, recipe.steps, bits, parts, state):
                break
    checkpoint.end(state)
    weights = state.objective.bit_weights()
    state.head.bit_weights = None if weights is None else weights.cpu().numpy()
    if network is None and len(targets.similar):
        state.head.interpolate(first, recipe.towards_start)
    if options.recentre:
        state.head.centre(torch.from_numpy(x).to(state.device) if state.maps is None else state.maps)
    return state.head.cpu()


def _loss(parts: dict[str, Tensor]) -> str:
    return f"loss {sum(float(value.detach()) for value in parts.values()):.4f}"


def _begin(
    x: np.ndarray,
    targets: Targets,
    options: TrainOptions,
    recipe: Recipe,
    bits: int,
    start: np.ndarray | None,
    network: Network | None,
    maps: tuple[Maps, Pca] | None,
) -> tuple[TrainState, dict[str, Tensor], Tensor]:
    """State before the first step, the head's parameters then, and the rows that bits are centred on."""
    generator = np.random.default_rng([options.seed, bits])
    noise = torch.Generator().manual_seed(int(generator.integers(2**62)))
    method, kind = method_of(options), objective_class(options.objective)
    device = placement.device_of(options, kind, len(x), network, maps is not None)
    inputs = torch.from_numpy(x).to(device)
    sampler = Sampler(targets, generator)
    sampler.set_edges(discovery.first_edges(functional.normalize(inputs, dim=1, eps=1e-12), recipe))
    if start is None:
        start = kind.start(method, x, bits, sampler.known())
    if start is None:
        start = matryoshka.start(x, options.bits, options.seed) if options.matryoshka else itq(x, bits, options.seed)
    with torch.random.fork_rng(devices=()):  # what heads and objectives draw for their parameters follows the seed too
        torch.manual_seed(options.seed)
        head = head_class(head_of(options))(start, *(() if maps is None else maps[1:]))
        objective = kind(method, bits, sampler.known())
        objective.meet(head)
    read = head.reduced_once(maps[0]) if isinstance(head, MapHead) and maps is not None else None
    head, objective = head.to(device), objective.to(device)
    if isinstance(read, Tensor):
        read = read.to(device)
    if network is not None:
        network.answer_on(device)
    with torch.no_grad():
        objective.begin(head.outputs(inputs if read is None else read), sampler.known())
    optimiser, schedule = make_optimiser(recipe, head, objective, network, options.tune.finetune_rate)
    state = TrainState(inputs, head, objective, sampler, optimiser, schedule, generator, noise, network, read)
    first = {name: value.detach().clone() for name, value in head.named_parameters()}
    return state, first, torch.from_numpy(generator.permutation(len(x))[:_CENTRE_ON])


def _new_round(state: TrainState, recipe: Recipe, progress: float, checkpoint: Checkpoint, step: int) -> None:
    """Discover neighbours with the codes as they are now, then let the objective do what it does between rounds."""
    if state.network is not None:
        with checkpoint.interruptible(state, step):
            x = state.network.describe_all()
        state.x = x.to(state.device)
    u = state.outputs()
    if recipe.discovery != "none":
        state.sampler.set_edges(discovery.adapted(torch.tanh(u), state.sampler.edges, recipe.drop))
    state.objective.round(u, state.sampler.known(), progress)


def _draw(state: TrainState, recipe: Recipe, step: int, progress: float) -> Batch:
    """A batch: rows and pairs, what is known of them, and the head's outputs with gradient."""
    drawn = state.sampler.draw(recipe, distributed.count())
    rows = torch.from_numpy(drawn.rows)
    network, x, maps = state.network, state.x[rows.to(state.device)], None
    if network is not None:
        network.step = step
        u = _gathered(state, lambda part: network.features(rows, part), None, len(rows))
        if network.device.type == "cuda":
            network.ahead(state.sampler.peek(recipe, distributed.count()))
    else:
        seen, noise = x, None
        if isinstance(state.maps, Maps):
            seen = maps = torch.from_numpy(state.maps.stored(rows.numpy())).float()
        elif state.maps is not None:
            seen = state.maps[rows.to(state.device)]
        if recipe.noise:
            noise = recipe.noise * state.deviation * torch.randn(x.shape, generator=state.noise).to(state.device)
        u = _gathered(state, lambda part: seen[part], noise, len(rows))
    return Batch(
        rows,
        u,
        functional.normalize(x, dim=1, eps=1e-12),
        torch.from_numpy(drawn.pairs),
        torch.from_numpy(drawn.label),
        **{
            name: one if name == "place" else one.to(state.device)
            for name, one in state.sampler.relations(drawn.rows).items()
        },
        progress=progress,
        grade=state.sampler.grades(drawn.rows).to(state.device) if recipe.graded else None,
        maps=maps,
        head=state.head,
    )


def _gathered(state: TrainState, seen: Callable[[slice], Tensor], noise: Tensor | None, n: int) -> Tensor:
    """The head's outputs for n photos, of which `seen` gives what it reads; several processes share the work."""
    if state.head.whole:
        return state.head(seen(slice(0, n)) if state.network is None else distributed.gathered(seen, n), noise)
    return distributed.gathered(lambda part: state.head(seen(part), None if noise is None else noise[part]), n)
