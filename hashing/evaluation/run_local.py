"""Scores of a workspace's own photos: the three forms of places, or copies where nothing was reconstructed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.progress import say
from hashpipe.hashing.benchmarks.copies import copies
from hashpipe.hashing.benchmarks.protocols import FORMS, Protocol, places, read_relevance, write_relevance
from hashpipe.hashing.codes.packing import ENOUGH_TO_CENTRE
from hashpipe.hashing.data import images as image_lists
from hashpipe.hashing.data.changed import changed_note, changed_rows
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.data.pair_labels import targets_from_pairset
from hashpipe.hashing.evaluation.method_names import learnt_name
from hashpipe.hashing.evaluation.methods import baseline_codes, coded, recentred
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.evaluation.pixel_hashes import HashOf, hashes_of
from hashpipe.hashing.evaluation.published import beside, codes_beside
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.score_all import QueryPages, query_pages_of, score_all
from hashpipe.hashing.evaluation.scoring import Coded
from hashpipe.hashing.features.descriptors import Describer, Descriptors, make_describer
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models.network import HashModel, Head, load_model
from hashpipe.hashing.training.train import centre, fit_heads, stored_options
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset
from hashpipe.pairgen.photos.load import UnreadablePhoto


def score_local(result: EvalResult, options: EvalOptions, workspace: Path) -> list[QueryPages]:
    """Score the model of a workspace on its held-out photos; returns what draws the example queries."""
    pairset = read_pairset(workspace / "pairs")
    model = load_model(workspace / "model")
    check_same_photos(result, model, pairset)
    result.meta |= {"pairs": pairset.fingerprint, "model": model.fingerprint, "describer": model.describer.name}
    result.learnt = learnt_name(model.config)
    images = image_lists.from_pairset(pairset)
    changed = changed_rows(workspace, pairset, np.flatnonzero(pairset.photo_column("status") == "ok"))
    if len(changed):
        result.note(changed_note(pairset, changed, "they are scored as they were before"))
    chosen, form = options.benchmark.split("/")[0], options.benchmark.partition("/")[2]
    if chosen == "places":
        asked = _asked_forms(options, form)
        protocols = [(name, places(pairset, name, options.relevance)) for name in asked]
        found = [(name, protocol) for name, protocol in protocols if protocol is not None]
        if found:
            for name in [name for name, protocol in protocols if protocol is None]:
                result.note(f"places/{name} has no held-out photo with a similar one in the database and is left out")
            return _score_places(result, options, workspace, pairset, model, images, found)
        if form or options.relevance:
            raise UserError(
                f"{options.benchmark} has no held-out photo with a similar one in the database; "
                "add photos to the collection, or score `--benchmark copies`."
            )
        result.note("no 3D place has a held-out photo with a similar one: the copies protocol is scored instead")
    usable = np.flatnonzero(pairset.photo_column("status") == "ok")
    everything, protocol = copies(images, usable, options.seed)
    described = model.describer.describe(everything, workspace / "descriptors")
    check_described(result, protocol, described, everything)
    codes_of = _stored_thresholds(result, model)
    seen = model.seen(everything, described, workspace / "descriptors")
    methods = all_methods(result, options, protocol, model, described, seen, hashes_of(everything), codes_of)
    return query_pages_of(result, protocol, everything, score_all(result, protocol, methods, options))


def check_same_photos(result: EvalResult, model: HashModel, pairset: PairSet) -> None:
    """Refuse a model that learnt from another version of the pairs: it may have learnt from today's queries."""
    learnt_from = model.config.get("pairset")
    if learnt_from is None:
        result.note("the model was not trained on this workspace's pairs: which photos it has seen is not checked")
    elif learnt_from != pairset.fingerprint:
        raise UserError(
            f"The model was trained on pairs {learnt_from} and the workspace now holds pairs {pairset.fingerprint}; "
            "run `hashpipe train --unsupervised` again."
        )


def _asked_forms(options: EvalOptions, form: str) -> tuple[str, ...]:
    if form and form not in FORMS:
        raise UserError(
            f"There is no protocol places/{form}; choose from {', '.join(f'places/{name}' for name in FORMS)}."
        )
    return (form,) if form else tuple(name for name in FORMS if name != "unseen" or options.unseen)


def _score_places(
    result: EvalResult,
    options: EvalOptions,
    workspace: Path,
    pairset: PairSet,
    model: HashModel,
    images: ImageList,
    protocols: list[tuple[str, Protocol]],
) -> list[QueryPages]:
    cache = workspace / "descriptors"
    hash_of = hashes_of(images)
    pages: list[QueryPages] = []
    others = None
    if options.methods:
        stored = stored_options(model.config)
        others = beside(options.methods, stored.objective, options.bits or model.bits, stored, workspace)
        result.note(
            f"{', '.join(others.names)}: trained here with their published options on what the model learnt from"
            if others.names
            else f"{stored.objective} is the model itself; --methods names no other"
        )
    for form, protocol in protocols:
        if form == "unseen":
            codes_of, describer = _unseen_model(result, options, pairset, model, images, protocol, cache)
        else:
            codes_of, describer = _stored_thresholds(result, model), model.describer
        described = describer.describe(images, cache)
        check_described(result, protocol, described, images)
        seen = described.values if describer is not model.describer else model.seen(images, described, cache)
        methods = all_methods(result, options, protocol, model, described, seen, hash_of, codes_of)
        if others is not None:
            trained = codes_beside(result, others, protocol, pairset, describer, images, described, cache)
            methods = itertools.chain(methods, trained)
        pages += query_pages_of(result, protocol, images, score_all(result, protocol, methods, options))
    if options.relevance is None:
        frozen = [protocol for _, protocol in protocols]
        result.meta["files"] = {"relevance.parquet": lambda path: write_relevance(path, pairset, frozen)}
    else:
        result.meta["relevance"] = read_relevance(options.relevance)[1]
        say(f"relevance {result.meta['relevance']} from {options.relevance}")
    return pages


Seen = np.ndarray | Maps  # what a model's heads read of all images
CodesOf = Callable[[Protocol, Seen, int], Coded]  # protocol, what heads read, bits


def all_methods(
    result: EvalResult,
    options: EvalOptions,
    protocol: Protocol,
    model: HashModel,
    described: Descriptors,
    seen: Seen,
    hash_of: HashOf,
    codes_of: CodesOf,
    training: np.ndarray | None = None,
) -> Iterator[Coded]:
    """The model's codes, then the baselines, at every code length asked for.

    Baselines fit on `training` descriptors float (M, D), without it on those of the protocol's training photos.
    """
    lengths = options.bits or model.bits
    for bits in lengths:
        if bits in model.bits:
            yield codes_of(protocol, seen, bits)
        else:
            result.note(f"the model has no head of {bits} bits: only baselines are scored at {bits}")
    if training is None:
        training = described.values[protocol.training[described.ok[protocol.training]]]
    yield from baseline_codes(
        protocol, described.values, training, lengths, options.baselines, options.seed, result.note, hash_of
    )


def check_described(result: EvalResult, protocol: Protocol, described: Descriptors, images: ImageList) -> None:
    """Raise UserError where photos of the protocol cannot be read; say how many are read but have no descriptor."""
    rows = np.union1d(protocol.queries, protocol.database)
    lost = rows[~described.ok[rows]].tolist()
    missing = [row for row in lost if not _readable(images, row)]
    if missing:
        raise UserError(
            f"{protocol.name}: {len(missing)} of {len(rows)} photos cannot be read or have changed, such as "
            f"{images.names[missing[0]]}; put them back, because a score without them does not compare."
        )
    if lost:
        result.note(f"{protocol.name}: {len(lost)} photos have no descriptor; they stay in and match by chance")


def _readable(images: ImageList, row: int) -> bool:
    try:
        images.open(row, 64)
    except (UnreadablePhoto, OSError):
        return False
    return True


def _stored_thresholds(result: EvalResult, model: HashModel) -> CodesOf:
    name = result.learnt
    result.note(
        f"{name}: bit thresholds are those of the model: "
        + (
            "medians over its training photos"
            if model.config.get("centred")
            else f"near 0 (fewer than {ENOUGH_TO_CENTRE} training photos, or trained without --recentre)"
        )
    )
    return lambda protocol, x, bits: coded(name, bits, model.codes_input(x, bits), protocol, model.thresholds[bits])


def _unseen_model(
    result: EvalResult,
    options: EvalOptions,
    pairset: PairSet,
    model: HashModel,
    images: ImageList,
    protocol: Protocol,
    cache: Path,
) -> tuple[CodesOf, Describer]:
    """A second model with the options of the first, from photos of training places alone."""
    train_options = stored_options(model.config)
    lengths = tuple(bits for bits in model.bits if not options.bits or bits in options.bits)
    describer = model.describer
    if describer.name == "vlad":  # its codebook was learnt on the whole collection
        describer = make_describer(train_options.describe, images.subset(protocol.training), cache)
    described = describer.describe(images, cache)
    rows = protocol.training[described.ok[protocol.training]]
    heads: dict[int, Head] = {}
    stored: dict[int, np.ndarray] = {}
    if lengths:
        train_options = dataclasses.replace(train_options, bits=lengths)
        seen, values = model.seen(images, described, cache), described.values[rows]
        maps = seen.subset(rows) if isinstance(seen, Maps) else None
        heads = fit_heads(values, targets_from_pairset(pairset, rows), train_options, maps=maps)
        stored, _ = centre(heads, values if maps is None else maps, train_options.recentre)
    on_database = len(protocol.database) >= ENOUGH_TO_CENTRE
    result.note(
        f"places/unseen: {result.learnt} is a second model with the same options, fitted to training places alone; "
        "its bit thresholds are "
        + ("set on the database" if on_database else "its own: the database is too small to re-centre on")
    )

    def codes(protocol: Protocol, x: Seen, bits: int) -> Coded:
        u = heads[bits](x)
        t = recentred(u, protocol) if on_database else stored[bits]
        return coded(result.learnt, bits, u, protocol, t)

    return codes, describer
