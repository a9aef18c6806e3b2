"""Every kind of head: the same outputs by loops, in NumPy, in torch and in the exported graph; heads of 0.1 as well."""

from __future__ import annotations

import warnings
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

D, M, K, FIRST = 7, 3, 16, 8
SHAPES = {
    "linear": {"mean": (D,), "weight": (D, K), "bias": (K,)},
    "residual": {
        **{"mean": (D,), "weight": (D, K), "bias": (K,)},
        **{"hidden": (D, M), "hidden_bias": (M,), "outer": (M, K)},
    },
    "layers": {"mean": (D,), "hidden": (D, M), "hidden_bias": (M,), "outer": (M, K), "bias": (K,)},
    "divided": {"mean": (D,), "hidden": (D, M, K), "hidden_bias": (M, K), "encode": (M, K), "bias": (K,)},
    "recurrent": {"mean": (D,), "enter": (D, M), "recur": (M, M), "recur_bias": (M,), "emit": (M,), "bias": (K,)},
    "attention": {"attend": (D,), "mean": (D,), "weight": (D, K), "bias": (K,)},
    "spatial": {"kernel": (2, 3, 3), "mean": (D,), "weight": (D, K), "bias": (K,)},
    "parts": {"attend": (D, 2), "attend_bias": (2,), "mean": (D,), "parts": (3, D, K), "bias": (K,)},
    "vlad": {
        **{"mean": (D,), "project": (D, M), "anchors": (4, M), "transform": (4 * M, 6), "transform_bias": (6,)},
        **{"outer": (6, K), "bias": (K,)},
    },
    "views": {
        **{"mean": (D,), "first": (D, M), "second": (D, M), "hidden_bias": (M,), "outer": (M, K), "bias": (K,)},
    },
    "pyramid": {"mean": (D,), "bins": (D, K), "bias": (K,)},
}
READ = {"descriptors": (D,), "maps": (D, 3, 4)}  # of one photo


def made(kind: str) -> Head:
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(size=size).astype(np.float32) for name, size in SHAPES[kind].items()}
    if "anchors" in arrays:
        arrays["anchors"] /= np.linalg.norm(arrays["anchors"], axis=1, keepdims=True)
    return Head(kind, arrays)


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


def slow_layers(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    found = a["bias"][bit]
    for unit in range(M):
        inside = sum((x[d] - a["mean"][d]) * a["hidden"][d, unit] for d in range(D)) + a["hidden_bias"][unit]
        found += np.tanh(inside) * a["outer"][unit, bit]
    return found


def slow_divided(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    found = a["bias"][bit]
    for q in range(M):
        inside = sum((x[d] - a["mean"][d]) * a["hidden"][d, q, bit] for d in range(D)) + a["hidden_bias"][q, bit]
        found += max(inside, 0.0) * a["encode"][q, bit]
    return found


def slow_recurrent(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    state = [sum((x[d] - a["mean"][d]) * a["enter"][d, m] for d in range(D)) for m in range(M)]
    for _ in range(bit + 1):
        state = [np.tanh(sum(state[n] * a["recur"][n, m] for n in range(M)) + a["recur_bias"][m]) for m in range(M)]
    return sum(state[m] * a["emit"][m] for m in range(M)) + a["bias"][bit]


PLACES = [(row, column) for row in range(3) for column in range(4)]


def length_1(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(sum(value**2 for value in x))


def slow_attention(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    powers = {at: np.exp(sum(a["attend"][d] * x[d][at] for d in range(D))) for at in PLACES}
    mean = np.array([sum(powers[at] * x[d][at] for at in PLACES) / sum(powers.values()) for d in range(D)])
    return slow_linear(a, length_1(mean), bit)


def slow_spatial(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    def near(at: tuple[int, int]) -> list[tuple[int, int]]:
        return [(at[0] + r, at[1] + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]

    high = {at: [max(x[d][one] for one in near(at) if one in PLACES) for d in range(D)] for at in PLACES}
    total = np.zeros(D)
    for at in PLACES:
        score = 0.0
        for number, one in enumerate(near(at)):
            if one in PLACES:
                row, column = divmod(number, 3)
                score += a["kernel"][0, row, column] * np.mean(high[one])
                score += a["kernel"][1, row, column] * max(high[one])
        total += [(max(value / (1 + np.exp(-score)), 0.0) + 1e-6) ** 3 for value in high[at]]
    return slow_linear(a, length_1(np.cbrt(total / len(PLACES))), bit)


def slow_parts(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    found = a["bias"][bit]
    for part in range(3):
        pooled = np.zeros(D)
        for at in PLACES:
            score = 1.0
            if part:
                score = sum(a["attend"][d, part - 1] * x[d][at] for d in range(D)) + a["attend_bias"][part - 1]
            pooled += max(score, 0.0) * np.array([x[d][at] for d in range(D)])
        pooled = length_1(pooled)
        found += sum((pooled[d] - a["mean"][d]) * a["parts"][part, d, bit] for d in range(D))
    return found


def slow_vlad(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    sums = np.zeros((4, M))
    for at in PLACES:
        local = length_1((length_1(np.array([x[d][at] for d in range(D)])) - a["mean"]) @ a["project"])
        near = [np.exp(-10 * sum((local[m] - anchor[m]) ** 2 for m in range(M))) for anchor in a["anchors"]]
        for number, anchor in enumerate(a["anchors"]):
            sums[number] += near[number] / sum(near) * (local - anchor)
    whole = length_1(np.concatenate([length_1(one) for one in sums]))
    hidden = [max(whole @ a["transform"][:, m] + a["transform_bias"][m], 0.0) for m in range(6)]
    return sum(hidden[m] * a["outer"][m, bit] for m in range(6)) + a["bias"][bit]


def slow_views(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    gem = np.array([np.cbrt(np.mean([(max(x[d][at], 0.0) + 1e-6) ** 3 for at in PLACES])) for d in range(D)])
    views = (
        length_1(gem) - a["mean"],
        length_1(np.array([max(x[d][at] for at in PLACES) for d in range(D)])) - a["mean"],
    )
    found = a["bias"][bit]
    for unit in range(M):
        inside = sum(views[0][d] * a["first"][d, unit] + views[1][d] * a["second"][d, unit] for d in range(D))
        found += np.tanh(inside + a["hidden_bias"][unit]) * a["outer"][unit, bit]
    return found


def slow_pyramid(a: dict[str, np.ndarray], x: np.ndarray, bit: int) -> float:
    """Of 3 x 4 positions a quarter has 2 x 2."""
    rows, columns = range(3), range(4)
    if bit % 8 >= 4:
        rows = (range(2), range(2), range(1, 3), range(1, 3))[bit % 8 - 4]
        columns = (range(2), range(2, 4))[bit % 2]
    most = length_1(np.array([max(x[d][row, column] for row in rows for column in columns) for d in range(D)]))
    return sum((most[d] - a["mean"][d]) * a["bins"][d, bit] for d in range(D)) + a["bias"][bit]


SLOW = {name.removeprefix("slow_"): one for name, one in list(globals().items()) if name.startswith("slow_")}


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
    np.testing.assert_allclose(head.first(FIRST)(x), head(x)[:, :FIRST], atol=1e-6)
    assert head.first(FIRST).bits == FIRST
    np.testing.assert_allclose(np.concatenate([head(one[None]) for one in x]), head(x), atol=1e-6)
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
def test_a_graph_of_the_formula_computes_what_numpy_does(kind, tmp_path):
    """Of one photo, of many, and of a batch of another size than it was exported with."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    head, x = made(kind), read_by(kind)

    class Network(torch.nn.Module):
        def forward(self, seen: torch.Tensor) -> torch.Tensor:
            arrays = {name: torch.from_numpy(value) for name, value in head.arrays.items()}
            return FORMULAS[kind].compute(arrays, seen, torch)

    path = str(tmp_path / "head.onnx")
    keywords = {"input_names": ["x"], "output_names": ["u"], "dynamic_axes": {"x": {0: "n"}, "u": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Network(), (torch.from_numpy(x[:2]),), path, opset_version=17, dynamo=False, **keywords)
    run = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for part in (x, x[:1]):
        found = run.run(["u"], {"x": part})[0]
        np.testing.assert_allclose(found, head(part), atol=1e-5)
        np.testing.assert_array_equal(found >= 0, head(part) >= 0)


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
    assert {model.head(bits).kind for bits in model.bits} == {"linear", "residual", "attention"}
    image = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    for bits in model.bits:
        network = HashNetwork(model, bits).eval().requires_grad_(False)
        head = model.head(bits)
        expected = head(seen(network.trunk, normalised(torch.from_numpy(image), network.trunk), head.reads).numpy())
        near = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(network(torch.from_numpy(image)), expected, atol=near)
        write_graph(model, bits, tmp_path / "graph.onnx")
        np.testing.assert_allclose(engines.onnx_run(tmp_path / "graph.onnx")(image), expected, atol=near)
