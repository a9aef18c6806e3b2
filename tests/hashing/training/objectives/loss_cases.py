"""Random batches for tests of objectives, and the loss of each of them once more, slowly: loops, float64, no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace as Case
from typing import Any

import numpy as np
import torch

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.heads import head_class, reads_maps
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.pca import Pca

B, K = 9, 5


def case(seed: int = 0, progress: float = 0.6) -> Case:
    """Nine photos: places 0, 0, 0, 1, 1, 2, 2 and two lone ones, of which the last is unknown; some pairs are known."""
    draw = np.random.default_rng(seed)
    place = np.array([0, 0, 0, 1, 1, 2, 2, -1, -1])
    similar, apart, near = (np.zeros((B, B), bool) for _ in range(3))
    for i, j in ((0, 1), (1, 2), (3, 4), (5, 6)):
        similar[i, j] = similar[j, i] = True
    for i, j in product(range(7), range(7)):
        apart[i, j] = place[i] != place[j]
    apart[7, 0] = apart[0, 7] = True
    for i, j in ((7, 3), (8, 7)):
        near[i, j] = near[j, i] = True
    grade = np.triu(draw.uniform(0, 1, (B, B)), 1)
    x = draw.normal(size=(B, 6))
    same = (place[:, None] == place[None]) & (place >= 0)[:, None]
    return Case(
        u=draw.normal(size=(B, K)),
        similar=similar,
        apart=apart,
        near=near,
        unrelated=~(same | similar | near | np.eye(B, dtype=bool)),
        grade=(grade + grade.T) * similar,
        place=place,
        x=x / np.linalg.norm(x, axis=1, keepdims=True),
        pairs=np.array([(0, 1), (3, 4), (5, 6), (7, 3), (0, 3)]),
        label=np.array([1, 1, 1, 0, -1]),
        progress=progress,
    )


def known(of: Case) -> Known:
    """What a run knows whose photos are those of the case."""
    listed = [np.argwhere(np.triu(mask)) for mask in (of.similar, of.apart, of.near)]
    return Known(of.place, *listed)


def batch(of: Case, order: np.ndarray | None = None) -> Batch:
    """The case as a batch, float64 with gradient, in another order where given."""
    order = np.arange(B) if order is None else order
    at = np.argsort(order)
    matrices = {
        name: torch.from_numpy(value[order][:, order])
        for name, value in (("similar", of.similar), ("dissimilar", of.apart), ("neighbours", of.near))
    }
    return Batch(
        torch.from_numpy(order),
        torch.from_numpy(of.u[order]).requires_grad_(),
        torch.from_numpy(of.x[order]),
        torch.from_numpy(at[of.pairs]),
        torch.from_numpy(of.label.astype(np.int8)),
        **matrices,
        unrelated=torch.from_numpy(of.unrelated[order][:, order]),
        place=torch.from_numpy(of.place[order]),
        progress=of.progress,
        grade=torch.from_numpy(of.grade[order][:, order]),
    )


def head_of(name: str, of: Case) -> TrainedHead:
    """The head that an objective is published with, in float64; its own maps show the descriptors of the case."""
    made = head_class(objective_class(name).head)
    start = np.random.default_rng(0).normal(size=(6, K)).astype(np.float32)
    pca = Pca(np.zeros(6, np.float32), np.eye(6, dtype=np.float32))
    return (made(start, pca) if reads_maps(objective_class(name).head) else made(start)).double()


def made(name: str, options: dict[str, Any], of: Case) -> Objective:
    """The objective in float64, begun at the case's own outputs, parameters drawn."""
    kind = objective_class(name)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        found = kind(kind.Options(**options), K, known(of))
        found.meet(head_of(name, of))
        found.double()
        with torch.no_grad():
            for one in found.parameters():
                one.copy_(torch.randn(one.shape, dtype=one.dtype))
    found.begin(torch.from_numpy(of.u), known(of))
    return found


def triplets(of: Case) -> Iterator[tuple[int, int, int]]:
    return ((i, p, n) for i, p, n in product(range(B), repeat=3) if of.similar[i, p] and of.apart[i, n])


def pairs(of: Case) -> Iterator[tuple[int, int, bool]]:
    return (
        (i, j, bool(of.similar[i, j])) for i, j in product(range(B), repeat=2) if of.similar[i, j] or of.apart[i, j]
    )


def mean(values: Any) -> float:
    values = list(values)
    return math.fsum(values) / len(values) if values else 0.0


def dot(a: Any, b: Any) -> float:
    return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def squared(a: Any, b: Any) -> float:
    return math.fsum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def sign(x: float) -> float:
    return 1.0 if x >= 0 else -1.0


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def sign_gap(u: np.ndarray) -> float:
    return mean((sign(x) - x) ** 2 for x in u.flat)


def cross_entropy(h: np.ndarray, of: Case, layer: Any) -> float:
    weight, bias = layer.weight.tolist(), [0.0] * 3 if layer.bias is None else layer.bias.tolist()
    losses = []
    for row, place in zip(h, of.place, strict=True):
        if place >= 0:
            logits = [dot(w, row) + a for w, a in zip(weight, bias, strict=True)]
            losses.append(math.log(sum(map(math.exp, logits))) - logits[place])
    return mean(losses)


def dtsh(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    ranked = mean(softplus(by.margin * K - (dot(u[i], u[p]) - dot(u[i], u[n])) / 2) for i, p, n in triplets(of))
    return ranked + by.quantise * K * sign_gap(u)


def cnnh(u: np.ndarray, of: Case, by: Any, o: Any) -> float:
    rows = [i for i in range(B) if any(i in pair for pair in pairs(of))]
    return mean(squared(u[i], o.codes[i].tolist()) / K for i in rows)


def drsdh(u: np.ndarray, of: Case, by: Any, o: Any) -> float:
    grown = 8 * of.progress
    steep = by.steepness * 1.1**grown
    v = [[w * math.tanh(steep * x / 2) for w, x in zip(o.weight.tolist(), row, strict=True)] for row in u]
    margin, chosen = by.margin + 0.1 * grown, list(triplets(of))
    ranked = mean(max(0, margin + squared(v[i], v[p]) - squared(v[i], v[n])) for i, p, n in chosen)
    graph = math.fsum(squared(v[i], v[j]) for i, j, alike in pairs(of) if alike) / 2
    return ranked + by.graph * graph / len(chosen)


def dsrh(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    h, costs = np.tanh(u / 2), []
    for q in range(B):
        level = {}
        for j in range(B):
            if of.similar[q, j]:
                level[j] = 1 + (of.grade[q, j] >= 0.25) + (of.grade[q, j] >= 0.5)
            elif of.apart[q, j]:
                level[j] = 0
        ideal = sum((2**r - 1) / math.log(1 + m) for m, r in enumerate(sorted(level.values(), reverse=True), 1))
        for i, j in product(level, level):
            if level[i] > level[j]:
                lag = (K - dot(h[q], h[i])) / 2 - (K - dot(h[q], h[j])) / 2 + max(1, by.margin * K)
                costs.append((2 ** level[i] - 2 ** level[j]) / ideal * max(0, lag))
    return mean(costs) + by.balance / 2 * sum(mean(column) ** 2 for column in h.T)


def lin2015(u: np.ndarray, of: Case, by: Any, o: Any) -> float:
    return cross_entropy(1 / (1 + np.exp(-u)), of, o.classifier.layer)


def ssdh(u: np.ndarray, of: Case, by: Any, o: Any) -> float:
    p = [[sigmoid(x) for x in row] for row in u]
    far = mean((x - 0.5) ** 2 for row in p for x in row) if of.progress >= 0.1 else 0
    even = mean((mean(row) - 0.5) ** 2 for row in p)
    return cross_entropy(np.array(p), of, o.classifier.layer) - by.quantise * far + by.balance * even


def rdh(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    h = np.tanh(u)
    losses, gaps, count = [], [], 0
    for i, j, alike in pairs(of):
        theta = dot(h[i], h[j]) / 2
        losses.append(softplus(theta) - alike * theta)
        differ = [sign(a) != sign(b) for a, b in zip(h[i], h[j], strict=True)]
        for bit in range(K):
            if (not differ[bit]) if alike else (differ[bit] or sum(differ) >= K / 2):
                gaps += [(h[i, bit] - sign(h[i, bit])) ** 2, (h[j, bit] - sign(h[j, bit])) ** 2]
                count += 2
    return mean(losses) + by.quantise * sum(gaps) / count


def cohesion(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    h, all_pairs = np.tanh(math.sqrt(1 + math.floor(by.stages * of.progress)) * u), list(pairs(of))
    alike = sum(similar for *_, similar in all_pairs)
    more, total, weights = max(1, (len(all_pairs) - alike) / alike), 0.0, 0.0
    for i, j, similar in all_pairs:
        theta, weight = min(0.5, 8 / K) * dot(h[i], h[j]), more if similar else 1
        total, weights = total + weight * (softplus(theta) - similar * theta), weights + weight
    return total / weights


def exponentiated(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    h = np.tanh(u)
    cost = [(math.exp((-1 if similar else 1) * dot(h[i], h[j]) / K), similar) for i, j, similar in pairs(of)]
    if not by.even:
        return mean(value for value, _ in cost)
    return mean(mean(value for value, similar in cost if similar == which) for which in (True, False))


def csdh(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    h, gaps, far = np.tanh(u), [], []
    for i, j, similar in pairs(of):
        likeness = (1 + dot(h[i], h[j]) / K) / 2
        wanted = (0.5 + 0.5 * of.grade[i, j] if by.graded else 1) if similar else 0
        gaps.append((wanted - likeness) ** 2)
        far += [(K - dot(h[i], h[j])) / 2 / K] if similar else []
    return mean(gaps) + by.hamming * mean(far)


def ssdh_semi(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    p = 1 / (1 + np.exp(-u))
    ranked = mean(max(0, 1 + squared(p[i], p[j]) - squared(p[i], p[n])) for i, j, n in triplets(of))
    near = [(i, j) for i in range(B) for j in np.flatnonzero(of.similar[i] | of.near[i])]
    assert len({i for i, _ in near}) == B
    chosen = drawn_near(of)
    assert all((i, j) in near for i, j in chosen)
    assert [i for i, _ in chosen] == list(range(B))
    cosine = of.x @ of.x.T
    far = [(i, min(np.flatnonzero(of.unrelated[i]), key=lambda j: cosine[i, j])) for i in range(B)]  # a tenth of 9: one
    margin = 0.8 * math.sqrt(K)
    close = mean(squared(p[i], p[j]) for i, j in chosen)
    apart = mean(max(0, margin - math.sqrt(squared(p[i], p[j]))) ** 2 for i, j in far)
    return ranked / 2 + by.embedding / 2 * (close + apart)


def drawn_near(of: Case) -> list[tuple[int, int]]:
    from hashpipe.hashing.training.objectives.ssdh_semi import drawn

    found = batch(of)
    return [(int(i), int(j)) for i, j in drawn(found, found.similar | found.neighbours)]


def itdh(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    joined = of.similar | of.near
    rows = [i for i in range(B) if joined[i].any()]
    centred = u - u[rows].mean(0)
    apart = np.zeros((K, K))
    for i, j in product(range(B), repeat=2):
        if joined[i, j]:
            apart += np.outer(u[i] - u[j], u[i] - u[j]) / 2
    spread = sum(np.outer(centred[i], centred[i]) for i in rows)
    spread = spread + 1e-3 * np.trace(spread) / K * np.eye(K)
    return float(np.trace(np.linalg.inv(spread) @ apart) / K)


def dsh(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    costs = []
    for i, j, similar in pairs(of):
        distance = squared(u[i], u[j])
        costs.append(distance / 2 if similar else max(0, by.margin * K - distance) / 2)
    return mean(costs) + 2 * by.quantise * mean(sum(abs(abs(x) - 1) for x in row) for row in u)


def cibhash(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    b = np.where(u >= 0, 1.0, -1.0)
    views, kl = [], []
    for (i, j), label in zip(of.pairs, of.label, strict=True):
        if label < 0:
            continue
        both = []
        for a, c in ((i, j), (j, i)):
            positive = math.exp(dot(b[a], b[c]) / K / by.temperature)
            rest = sum(math.exp(dot(b[a], b[n]) / K / by.temperature) for n in np.flatnonzero(of.unrelated[a]))
            both.append(-math.log(positive / (positive + rest)))
        views.append(mean(both))
        total = 0.0
        for x, y in zip(u[i], u[j], strict=True):
            for p, q in ((sigmoid(x), sigmoid(y)), (sigmoid(y), sigmoid(x))):
                total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        kl.append(total / 2)
    return mean(views) + by.bottleneck * mean(kl)


def bihalf(u: np.ndarray, of: Case, by: Any, o: Objective) -> float:
    b = -np.ones((B, K))
    for bit in range(K):
        for row in sorted(range(B), key=lambda row: -u[row, bit])[: B // 2]:
            b[row, bit] = 1
    gaps = [(dot(b[i], b[j]) / K - dot(of.x[i], of.x[j])) ** 2 for i, j in product(range(B), repeat=2) if i != j]
    return mean(gaps)


# name -> (slow loss, options that differ from the defaults)
SLOW = {
    "dtsh": (dtsh, {"margin": 0.3, "quantise": 0.2}),
    "cnnh": (cnnh, {}),
    "drsdh": (drsdh, {"margin": 7.0, "graph": 0.3, "steepness": 2.0}),
    "dsrh": (dsrh, {"margin": 0.4, "balance": 0.7}),
    "lin2015": (lin2015, {}),
    "ssdh": (ssdh, {"quantise": 0.6, "balance": 3.0}),
    "rdh": (rdh, {"quantise": 0.4, "factor": 1.0}),  # amplified gradients are not those of the loss
    "cohesion": (cohesion, {"stages": 7}),
    "exponentiated": (exponentiated, {"even": True}),
    "csdh": (csdh, {"hamming": 0.8}),
    "ssdh-semi": (ssdh_semi, {"embedding": 0.9}),
    "itdh": (itdh, {}),
    "dsh": (dsh, {"margin": 3.0, "quantise": 0.3}),
    "cibhash": (cibhash, {"temperature": 0.5, "bottleneck": 0.4}),
    "bihalf": (bihalf, {}),
}
THROUGH_SIGN = {"cibhash", "bihalf"}  # their gradient is not that of the loss
