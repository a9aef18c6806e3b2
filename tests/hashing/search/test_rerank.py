"""Finer orders of hits: by learnt bit weights and by float descriptors; a code cut to the bits that weigh most."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import network_model, workspace_with, write_pictures

from hashpipe.cli.search import search_command
from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.data.images import from_paths
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.models.model_folder import read_model
from hashpipe.hashing.models.network import load_model, make_model, save_model
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.rerank import weighted
from hashpipe.hashing.search.search import search

PHOTOS = 12
WEIGHTS = np.array([0.5, 3.0, 1.0, 1.0, 0.2, 2.0, 0.9, 0.1, 0.7, 0.4, 0.3, 0.6], np.float32)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "photos", PHOTOS)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, pictures) -> Path:
    """A model of 12 bits that carry weights, its codes and its index."""
    folder = tmp_path_factory.mktemp("work")
    plain = load_model(network_model(folder / "network" / "model", (12,)), "cpu")
    heads = {12: plain.heads[12].by_weight(WEIGHTS)}
    made = workspace_with(folder / "ws", folder / "network" / "model")
    config = {key: value for key, value in plain.config.items() if key != "fingerprint"}
    save_model(made / "model", make_model(plain.describer, heads, plain.thresholds, config))
    encode(pictures, made, EncodeOptions(runtime="torch"))
    build_index([], made, IndexOptions())
    return made


def test_weighted_distance_is_that_of_loops():
    draw = np.random.default_rng(0)
    bits, one = draw.random((20, 12)) < 0.5, draw.random(12) < 0.5
    found = weighted(np.packbits(one, bitorder="little"), np.packbits(bits, axis=1, bitorder="little"), WEIGHTS)
    cost = WEIGHTS.astype(float) ** 2
    slow = [sum(cost[i] for i in range(12) if row[i] != one[i]) / cost.mean() for row in bits]
    np.testing.assert_allclose(found, slow)
    np.testing.assert_allclose(
        weighted(np.packbits(one, bitorder="little"), np.packbits(bits, axis=1, bitorder="little"), np.full(12, 7.0)),
        (bits != one).sum(1),
    )


def test_the_model_keeps_bits_by_falling_weight_and_any_shorter_code_is_its_first_bits(workspace, pictures, tmp_path):
    model = read_model(workspace / "model")
    head = model.head(12)
    np.testing.assert_array_equal(head.bit_weights, np.sort(WEIGHTS)[::-1])
    assert model.pick_bits(None) == 12
    assert model.pick_bits(7) == 7
    whole = read_codes(workspace / "codes.parquet")
    encode(pictures, workspace, EncodeOptions(runtime="torch", bits=7, output=tmp_path / "short.parquet"))
    short = read_codes(tmp_path / "short.parquet")
    assert short.space.bits == 7
    unpacked = np.unpackbits(whole.codes, axis=1, count=7, bitorder="little")
    np.testing.assert_array_equal(np.unpackbits(short.codes, axis=1, count=7, bitorder="little"), unpacked)
    assert short.space.fingerprint != whole.space.fingerprint
    for wrong in (13, 3):
        with pytest.raises(UserError, match=f"--bits {wrong} is not one of the model's code lengths"):
            model.pick_bits(wrong)


def test_bits_without_weights_are_not_cut(tmp_path):
    model = read_model(network_model(tmp_path / "network" / "model", (12, 16)))
    with pytest.raises(UserError, match="--bits 7 is not one"):
        model.pick_bits(7)


def test_hits_by_bit_weights(workspace, pictures):
    query = pictures / "004.png"
    codes = read_codes(workspace / "codes.parquet").codes
    right = weighted(codes[4], codes, np.sort(WEIGHTS)[::-1])
    result = search([str(query)], workspace, SearchOptions(runtime="torch", k=5, rerank=True, rerank_by="weights"))
    hits = result.hits[0]
    assert [hit.photo for hit in hits] == np.argsort(right, kind="stable")[:5].tolist()
    np.testing.assert_allclose([hit.reranked for hit in hits], np.sort(right)[:5])
    assert hits[0].line().startswith("0.00  ")
    assert result.as_json()["queries"][0]["hits"][1]["reranked"] == hits[1].reranked


def test_hits_by_float_descriptors_are_the_float_ranking_of_the_pool(workspace, pictures, tmp_path):
    query = pictures / "003.png"
    model = load_model(workspace / "model", "cpu")
    files = sorted(pictures.glob("*.png"))
    values = model.describer.describe(from_paths(files)).values
    distance = np.linalg.norm(values - values[3], axis=1)
    by_float = SearchOptions(runtime="torch", rerank=True, rerank_by="float")
    found = search([str(query)], workspace, replace(by_float, k=6)).hits[0]
    assert [Path(hit.path).name for hit in found] == [
        files[row].name for row in np.argsort(distance, kind="stable")[:6]
    ]
    np.testing.assert_allclose([hit.reranked for hit in found], np.sort(distance)[:6], atol=1e-5)
    inside = search([str(query)], workspace, replace(by_float, radius=4)).hits[0]
    pool = np.flatnonzero(
        hamming(read_codes(workspace / "codes.parquet").codes[3], read_codes(workspace / "codes.parquet").codes) <= 4
    )
    assert [hit.photo for hit in inside] == pool[np.argsort(distance[pool], kind="stable")].tolist()


def test_weights_are_asked_of_a_model_that_has_none(tmp_path, pictures):
    made = workspace_with(tmp_path / "ws", network_model(tmp_path / "network" / "model", (12,)))
    encode(pictures, made, EncodeOptions(runtime="torch"))
    build_index([], made, IndexOptions())
    with pytest.raises(UserError, match=r"--rerank weights: the bits of the model .* carry no weights; train one with"):
        search([str(pictures / "000.png")], made, SearchOptions(runtime="torch", rerank=True, rerank_by="weights"))


@pytest.mark.parametrize(
    ("arguments", "photos", "order"),
    [
        (["--rerank", "a.jpg"], ("a.jpg",), None),
        (["--rerank", "float", "a.jpg"], ("a.jpg",), "float"),
        (["a.jpg", "--rerank=weights"], ("a.jpg",), "weights"),
        (["a.jpg", "--rerank", "--rerank-by", "float"], ("a.jpg",), "float"),
        (["float"], ("float",), None),
    ],
)
def test_the_order_may_follow_rerank_and_photos_still_do(arguments, photos, order):
    context = search_command.make_context("search", list(arguments))
    assert context.params["photos"] == photos
    assert context.params["rerank_by"] == order
    assert context.params["rerank"] == ("--rerank" in arguments[0] or len(arguments) > 1 or None)
