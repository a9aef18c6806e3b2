"""Every kind of head: the same outputs by loops, in NumPy, in torch and in the exported graph; heads of 0.1 as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small_models import network_model

from hashpipe.hashing.encoding import engines
from hashpipe.hashing.encoding.onnx_export import HashNetwork, write_graph
from hashpipe.hashing.features import stored_maps
from hashpipe.hashing.features.network_descriptors import normalised, seen
from hashpipe.hashing.features.stored_maps import maps_of
from hashpipe.hashing.models.heads import FORMULAS, Head, linear_head, stored_head
from hashpipe.hashing.models.model_folder import read_model

D, M, K = 7, 3, 5
SHAPES = {
    "linear": {"mean": (D,), "weight": (D, K), "bias": (K,)},
    "residual": {
        **{"mean": (D,), "weight": (D, K), "bias": (K,)},
        **{"hidden": (D, M), "hidden_bias": (M,), "outer": (M, K)},
    },
    "attention": {"attend": (D,), "mean": (D,), "weight": (D, K), "bias": (K,)},
}
READ = {"descriptors": (D,), "maps": (D, 2, 3)}  # of one photo


def made(kind: str) -> Head:
    generator = np.random.default_rng(0)
    return Head(kind, {name: generator.normal(size=size).astype(np.float32) for name, size in SHAPES[kind].items()})


def read_by(kind: str, photos: int = 6) -> np.ndarray:
    """What a head of this kind reads of some photos, float32."""
    return np.random.default_rng(1).normal(size=(photos, *READ[FORMULAS[kind].reads])).astype(np.float32)


def slow_linear(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    return sum((x[d] - a["mean"][d]) * a["weight"][d, bit] for d in range(D)) + a["bias"][bit]


def slow_residual(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    found = slow_linear(a, x, bit)
    for unit in range(M):
        inside = sum((x[d] - a["mean"][d]) * a["hidden"][d, unit] for d in range(D)) + a["hidden_bias"][unit]
        found += max(inside, 0.0) * a["outer"][unit, bit]
    return found


def slow_attention(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    places = [(row, column) for row in range(2) for column in range(3)]
    powers = {at: np.exp(sum(a["attend"][d] * x[d][at] for d in range(D))) for at in places}
    mean = np.array([sum(powers[at] * x[d][at] for at in places) / sum(powers.values()) for d in range(D)])
    return slow_linear(a, mean / np.sqrt(sum(value**2 for value in mean)), bit)


SLOW = {"linear": slow_linear, "residual": slow_residual, "attention": slow_attention}


@pytest.mark.parametrize("kind", FORMULAS)
def test_outputs_by_loops_in_numpy_and_in_torch(kind):
    head, x = made(kind), read_by(kind)
    arrays = {name: value.astype(np.float64) for name, value in head.arrays.items()}
    expected = np.array([[SLOW[kind](arrays, row, bit) for bit in range(K)] for row in x.astype(np.float64)])
    assert (head(x).dtype, head.bits) == (np.float32, K)
    np.testing.assert_allclose(head(x), expected, atol=1e-5)
    tensors = {name: torch.from_numpy(value) for name, value in head.arrays.items()}
    np.testing.assert_allclose(FORMULAS[kind].compute(tensors, torch.from_numpy(x), torch), expected, atol=1e-5)


@pytest.mark.parametrize("kind", FORMULAS)
def test_first_bits_widths_and_no_rows(kind):
    head, x = made(kind), read_by(kind)
    np.testing.assert_allclose(head.first(2)(x), head(x)[:, :2], atol=1e-6)
    assert head.first(2).bits == 2
    assert head(x[:0]).shape == (0, K)
    other = np.zeros((1, 3, *x.shape[2:]), np.float32)
    assert head(other[:0]).shape == (0, K)
    with pytest.raises(ValueError, match="have 3 dimensions, the head takes 7"):
        head(other)


def test_attention_takes_any_numbers_and_a_photo_without_a_map():
    """Scores far beyond what exp takes, and a map of zeros, which has no direction: what linear says of zeros."""
    head, x = made("attention"), read_by("attention")
    assert np.isfinite(head(x * 1e4)).all()
    linear = Head("linear", {name: head.arrays[name] for name in SHAPES["linear"]})
    np.testing.assert_array_equal(head(np.zeros_like(x)), linear(np.zeros((6, D), np.float32)))


@pytest.mark.parametrize("read", [maps_of, lambda x: x])
def test_maps_are_read_in_parts(read, monkeypatch):
    head, x = made("attention"), read_by("attention", 11)
    whole = head(x)
    monkeypatch.setattr(stored_maps, "PART", 4)
    sizes: list[int] = []
    real = Head._outputs
    monkeypatch.setattr(Head, "_outputs", lambda self, part: sizes.append(len(part)) or real(self, part))
    np.testing.assert_allclose(head(read(x)), whole, atol=1e-6)
    assert sizes == [4, 4, 3]


@pytest.mark.parametrize("kind", FORMULAS)
def test_which_arrays_are_stored_says_of_what_kind_a_head_is(kind):
    head = made(kind)
    stored = {f"head5.{name}": value for name, value in head.arrays.items()} | {"head5.thresholds": np.zeros(K)}
    stored |= {f"head50.{name}": value for name, value in made("linear").arrays.items()}  # another length's
    found = stored_head(stored, "head5.")
    assert found.kind == kind
    assert set(found.arrays) == set(head.arrays) == set(SHAPES[kind])


def test_a_linear_head_is_kept_in_float32():
    head = linear_head(np.zeros(2), np.eye(2), np.ones(2))
    assert {value.dtype for value in head.arrays.values()} == {np.dtype(np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A network of three lengths: a linear head, one with a hidden layer as hashpipe 0.1 made them, attention."""
    return network_model(tmp_path_factory.mktemp("network") / "model", (12, 16, 20))


def test_arrays_of_0_1_keep_their_names(folder):
    names = {name for name in load_file(folder / "model.safetensors") if name.startswith("head16.")}
    arrays = ("mean", "weight", "bias", "hidden", "hidden_bias", "outer", "thresholds")
    assert names == {f"head16.{name}" for name in arrays}


def test_the_exported_graph_computes_what_numpy_does(folder, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = read_model(folder)
    assert {model.head(bits).kind for bits in model.bits} == set(FORMULAS)
    image = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    for bits in model.bits:
        network = HashNetwork(model, bits).eval().requires_grad_(False)
        head = model.head(bits)
        expected = head(seen(network.trunk, normalised(torch.from_numpy(image)), head.reads).numpy())
        near = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(network(torch.from_numpy(image)), expected, atol=near)
        write_graph(model, bits, tmp_path / "graph.onnx")
        np.testing.assert_allclose(engines.onnx_run(tmp_path / "graph.onnx")(image), expected, atol=near)
