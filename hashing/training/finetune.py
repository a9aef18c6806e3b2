"""Fine-tuning: the last layers of a network, or all, learn together with the longest code; heads are fitted afterwards.

Batch norm keeps its statistics. A batch can be computed in parts: codes of all parts first, then the loss of the whole
batch, then each part's gradient, so that the parts change memory and time and not what is learnt (Gao et al., RepL4NLP
2021, call it gradient cache).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.features import backbones, batch_memory, trunks
from hashpipe.hashing.features.descriptors import Describer, restore_describer
from hashpipe.hashing.features.network_descriptors import normalised
from hashpipe.hashing.training import distributed
from hashpipe.hashing.training.augment import Pieces
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.gpu_pieces import GpuPieces
from hashpipe.hashing.training.heads import head_class
from hashpipe.hashing.training.loop import fit_head, fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import Pca, fit_pca
from hashpipe.hashing.training.recipes import head_of

_BATCH = 256  # photos that a batch has about
LAST = 0.25  # share of the network's weight tensors, from its end, that --finetune last lets learn


def check_network(which: str, backbones: Sequence[str]) -> None:
    """Raise UserError where a network is to learn and one of the descriptors is computed by none."""
    without = next((one for one in backbones if one in ("vlad", "onnx")), None)
    if which != "none" and without:
        raise UserError(f"--finetune {which} needs a network and {without} has no layers; name one with --backbone.")


def finetune(
    describer: Describer,
    images: ImageList,
    descriptors: np.ndarray,
    targets: Targets,
    options: TrainOptions,
    checkpoint: Checkpoint,
) -> Describer:
    """The describer with a network fine-tuned on N images, whose present descriptors float32 (N,D) are given.

    Raises UserError for vlad, which has no layers, and where not even one photo fits into memory.
    """
    tune, key = options.tune, "network"
    check_network(tune.finetune, [describer.name])
    pca = fit_pca(descriptors, options.pca, options.seed)
    network = Tuned(describer, images, pca, options)
    found = checkpoint.finished(key)
    if found is None:
        longest = replace(options, bits=options.bits[-1:], matryoshka=False)
        start = None  # heads of several layers learn together with the network from where they always start
        if head_class(head_of(options)).kind == "linear":
            stoppable = Checkpoint(signals=checkpoint.signals)  # nothing is kept of it, but it can be stopped
            first = fit_heads(descriptors, targets, longest, checkpoint=stoppable)
            start = pca.weight(first[options.bits[-1]])
        tuned = replace(longest, steps=tune.finetune_steps, noise=0.0)
        x = pca(descriptors)
        fit_head(x, targets, tuned, options.bits[-1], checkpoint, start, network)
        found = {f"{n:05d}": one.detach().cpu().numpy() for n, one in enumerate(network.parameters)}
        checkpoint.finish(key, found)
    with torch.no_grad():
        for one, value in zip(network.parameters, (found[name] for name in sorted(found)), strict=True):
            one.copy_(torch.from_numpy(value))
    return network.describer()


class Tuned:
    """A network that learns: `features` gives the head's input, `finish_backward` learns (finetuned_network.py)."""

    def __init__(self, describer: Describer, images: ImageList, pca: Pca, options: TrainOptions) -> None:
        tune = self.tune = options.tune
        self.config, self.images, self.step = describer.config, images, 0
        self.device = backbones.pick_device(options.describe.device)
        self.trunk = trunks.make_trunk(describer.config)
        trunks.fill(self.trunk, describer.tensors, "the model")
        self.trunk = self.trunk.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = learning(self.trunk, tune.finetune)
        self.mean, self.axes = torch.from_numpy(pca.mean), torch.from_numpy(pca.axes)
        self.answers = torch.device("cpu")
        cut = (images, self.trunk.size or tune.finetune_size, tune.augment, options.seed)
        self.pieces = Pieces(*cut)
        if self.device.type == "cuda":
            self.pieces = GpuPieces(*cut, self.device, tune.finetune_steps * _BATCH)
        self.parts = tune.accumulate
        self._pixels, self._x = torch.empty(0), torch.empty(0)
        self._graph: Tensor | None = None

    def answer_on(self, device: torch.device) -> None:
        """From now on x lies on `device`, where the head is."""
        self.answers, self.mean, self.axes = device, self.mean.to(device), self.axes.to(device)

    def ahead(self, rows: np.ndarray) -> None:
        """Told the photos of the step after this one, most likely; they are decoded while this one is computed."""
        self.pieces.ahead(rows.tolist(), self.step + 1)

    def features(self, rows: Tensor, part: slice) -> Tensor:
        """x float32 (P,d) of the photos rows[part] of a batch, a leaf that collects the gradient of the loss."""
        self._pixels = self.pieces.batch(rows.tolist(), self.step, part)
        self._graph = None
        while True:
            try:
                if self.parts == 1:
                    self._graph = self.forward(self._pixels)
                    self._x = self._graph.detach().requires_grad_()
                else:
                    with torch.no_grad():
                        found = [self.forward(part) for part in self._split(self._pixels)]
                    self._x = torch.cat(found).requires_grad_()
                return self._x
            except Exception as error:
                self._smaller(error)

    def finish_backward(self) -> None:
        """Bring the gradient that x has collected to the network's parameters."""
        while self._x.grad is not None:
            try:
                if self._graph is not None:
                    self._graph.backward(self._x.grad)
                else:
                    for part, grad in zip(self._split(self._pixels), self._split(self._x.grad), strict=True):
                        self.forward(part).backward(grad)
                break
            except Exception as error:
                self._smaller(error)
                for one in self.parameters:  # what the failed attempt has added
                    one.grad = None
        self._x, self._graph = torch.empty(0), None

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (B,S,S,3) -> x float32 (B,d)."""
        seen = normalised(pixels.to(self.device), self.trunk).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.tune.precision == "bf16"):
            out = self.trunk(seen)
        return (out.float().to(self.answers) - self.mean) @ self.axes

    def describe_all(self) -> Tensor:
        """x float32 (N,d) of all photos as the network sees them now, without gradient; processes share the work."""

        def some(part: slice) -> Tensor:
            rows = np.arange(part.start, part.stop)
            values = self.describer().describe(self.images.subset(rows)).values
            return (torch.from_numpy(values).to(self.answers) - self.mean) @ self.axes

        return distributed.gathered(some, len(self.images))

    def describer(self) -> Describer:
        tensors = {key: value.detach().cpu().clone() for key, value in self.trunk.net.state_dict().items()}
        return restore_describer(self.config, tensors, self.device.type, self.tune.precision)

    def rate(self, step: int) -> float:
        """Factor of the step size: from 0 up in the warm-up, then along half a cosine or constant."""
        steps, warm = self.tune.finetune_steps, min(self.tune.warm_up, self.tune.finetune_steps)
        if step < warm:
            return (step + 1) / warm
        if self.tune.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))

    def _split(self, whole: Tensor) -> tuple[Tensor, ...]:
        return whole.split(max(1, -(-len(self._pixels) // self.parts)))

    def _smaller(self, error: Exception) -> None:
        """Compute batches in twice as many parts from now on, where memory ran out; other errors go on."""
        if not batch_memory.ran_out(error):
            raise error
        batch_memory.halved(-(-len(self._pixels) // self.parts))
        self.parts, self._graph = 2 * self.parts, None


def learning(trunk: trunks.AnyTrunk, which: str) -> list[Tensor]:
    """The parameters that learn, set to want a gradient: all, or the last quarter of the weight tensors."""
    every = [one for one in trunk.net.parameters() if one.is_floating_point()]
    chosen = every if which == "all" else every[int(len(every) * (1 - LAST)) :]
    for one in chosen:
        one.requires_grad_()
    return list(chosen)
