"""Describing and encoding on a GPU: what a batch, a process or bf16 may change of a photo. Skipped without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import network_model, random_weights, write_pictures

from hashpipe.hashing.data import images
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.features import network_descriptors, processes
from hashpipe.hashing.features.descriptors import Describer, make_describer
from hashpipe.hashing.features.options import BackboneOptions

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
NET = "mobilenet_v2"
FEW = 24


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"), NET)


@pytest.fixture(scope="module")
def listed(tmp_path_factory) -> images.ImageList:
    """24 pictures of four shapes again and again, 200 rows, so that processes decode them; the last cannot be read."""
    folder = write_pictures(tmp_path_factory.mktemp("pictures"), FEW)
    (folder / "zzz.png").write_text("no picture")
    paths = sorted(folder.glob("0*.png"))
    return images.from_paths([*(paths[row % FEW] for row in range(200)), folder / "zzz.png"])


def describer(weights: Path, device: str, precision: str = "float32") -> Describer:
    options = BackboneOptions(NET, str(weights), image_size=128, device=device)
    return make_describer(options, images.from_paths([]), None, precision)


def computed(one: Describer, listed: images.ImageList) -> np.ndarray:
    found = one.compute(listed, lambda *given: None)
    assert found.ok[:-1].all()
    assert not found.ok[-1]
    return found.values[:-1]


def test_photos_together_are_photos_one_at_a_time(weights, listed):
    together = computed(describer(weights, "cuda"), listed)
    assert listed.trouble[listed.keys[-1]] == "not a photo in a known format"
    one = describer(weights, "cuda")
    alone = np.concatenate([one.describe(listed.subset([row])).values for row in range(FEW)])
    np.testing.assert_allclose(together, np.tile(alone, (9, 1))[:200], atol=1e-4)


def test_a_gpu_gives_what_a_processor_gives(weights, listed):
    few = listed.subset([*range(FEW), 200])
    np.testing.assert_allclose(
        computed(describer(weights, "cuda"), few), computed(describer(weights, "cpu"), few), atol=1e-4
    )


def test_threads_in_place_of_processes_change_nothing(weights, listed, monkeypatch):
    in_processes = computed(describer(weights, "cuda"), listed)
    monkeypatch.setattr(processes, "shareable", lambda *given: False)
    np.testing.assert_allclose(computed(describer(weights, "cuda"), listed), in_processes, atol=1e-4)


def test_bf16_is_near_and_kept_apart(weights, listed):
    exact, fast = (describer(weights, "cuda", precision) for precision in ("float32", "bf16"))
    values = [computed(one, listed)[:FEW] for one in (exact, fast)]
    assert (values[0] * values[1]).sum(1).min() > 0.99
    assert not np.array_equal(*values)
    assert fast.fingerprint == exact.fingerprint
    assert fast.cached_as == f"{exact.cached_as}-bf16"
    middle = np.median(values[0], axis=0)
    assert ((values[0] >= middle) != (values[1] >= middle)).mean() < 0.1


def test_maps_are_those_of_a_processor(weights, listed):
    few = listed.subset(range(8))
    found = [describer(weights, device).compute_maps(few, lambda *given: None) for device in ("cuda", "cpu")]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), atol=2e-3 * np.abs(other).max())


def test_float32_is_float32_after_the_call_too(weights, listed):
    before = torch.backends.cudnn.allow_tf32
    computed(describer(weights, "cuda"), listed.subset([0, 200]))
    assert torch.backends.cudnn.allow_tf32 == before


def test_codes_are_those_of_a_processor(listed, tmp_path):
    model = network_model(tmp_path / "model", net=NET)
    cpu, cuda = (open_encoder(model, bits=16, runtime="torch", device=one).outputs(listed) for one in ("cpu", "cuda"))
    assert cuda.reasons == cpu.reasons
    np.testing.assert_array_equal(cuda.quality, cpu.quality)
    np.testing.assert_allclose(cuda.u, cpu.u, atol=1e-3 * np.abs(cpu.u).max())
    fast = open_encoder(model, bits=16, device="cuda", precision="bf16")
    assert fast.engine.about["precision"] == "bf16"
    u = fast.outputs(listed).u
    assert np.corrcoef(u.ravel(), cpu.u.ravel())[0, 1] > 0.99


def test_batches_halve_where_memory_runs_out(weights, listed, monkeypatch):
    right = computed(describer(weights, "cuda"), listed)
    described = network_descriptors.described

    def tight(trunk, pixels, *given):
        if len(pixels) > 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return described(trunk, pixels, *given)

    monkeypatch.setattr(network_descriptors, "described", tight)
    np.testing.assert_allclose(computed(describer(weights, "cuda"), listed), right, atol=1e-4)
