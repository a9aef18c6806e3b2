"""From matches and models to labelled pairs: doubtful places are split, then the rules are applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hashpipe.pairgen.ambiguity.model_consistency import contradicted_models
from hashpipe.pairgen.ambiguity.split_places import number_places, split_places
from hashpipe.pairgen.mapping.overlap import Evidence
from hashpipe.pairgen.mapping.places import Models
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs import tables
from hashpipe.pairgen.pairs.dissimilar import dissimilar_pairs
from hashpipe.pairgen.pairs.evidence import measured_cameras, measured_parts
from hashpipe.pairgen.pairs.gps import near_by_gps
from hashpipe.pairgen.pairs.relations import gps_notes, related_components
from hashpipe.pairgen.pairs.similar import similar_pairs
from hashpipe.pairgen.pairs.splits import assign_queries, assign_splits
from hashpipe.pairgen.pairs.uncertain import signs_of, uncertain_units, unknown_pairs
from hashpipe.pairgen.photos.metadata import Photo


@dataclass(frozen=True)
class Splits:
    """split: train | val | test of each of n photos; query: bool (n,), held out; by_place: were places split?"""

    split: list[str]
    query: np.ndarray
    by_place: bool


@dataclass(frozen=True)
class Labelled:
    """Places and pairs of n photos.

    place: int32 (n,), -1 none. similar, dissimilar: rows of pairs. relations: the table of related places. notes: why
    the pairs of a model are unknown.
    """

    place: np.ndarray
    similar: list[dict]
    dissimilar: list[dict]
    relations: pa.Table
    notes: list[str]


def label_pairs(
    photos: Sequence[Photo],
    labels: np.ndarray,
    models: Models,
    evidence: Sequence[Evidence],
    matches: Matches,
    vlads: np.ndarray,
    hashes: np.ndarray,
    options: BuildOptions,
) -> Labelled:
    """Split doubtful places and apply the rules for pairs.

    labels: int (n,), components of the verified matches; evidence: of each model, which is measured; vlads: float32
    (n,d), unit rows; hashes: uint8 (n,8).
    """
    rows = {photo.path: row for row, photo in enumerate(photos)}
    parts = [measured_parts(folder, rows) for folder in models.folders]
    split, known = split_places(photos, labels, matches, parts, options.min_inliers)
    place = number_places(models.place, models.model, labels, split)
    contradicted = contradicted_models([measured_cameras(folder, rows) for folder in models.folders])
    trusted = [(number, found) for number, found in enumerate(evidence) if number not in contradicted]
    similar = similar_pairs(trusted, matches, vlads, options, photos, split)
    related = related_components(photos, split, matches, options, known)
    in_model = (place >= 0) & (models.model >= 0)
    units = uncertain_units(split, in_model, matches, options.min_inliers)
    signs = signs_of(photos, vlads, hashes)
    near = near_by_gps(photos, split, options.far_metres)
    dissimilar = dissimilar_pairs(
        split, in_model, matches, vlads, related, options, near, lambda ends: unknown_pairs(ends, split, units, signs)
    )
    notes = [f"{why}; its pairs are unknown." for why in contradicted.values()]
    notes += gps_notes(related, len(set(place[place >= 0].tolist())), options.far_metres)
    return Labelled(place, similar, dissimilar, tables.relation_table(related, split, place), notes)


def split_photos(photos: Sequence[Photo], labelled: Labelled, options: BuildOptions) -> Splits:
    """Places into train, val and test, related ones together, and the photos that are held out as queries."""
    shas = [photo.sha256 for photo in photos]
    related = zip(*(labelled.relations[name].to_pylist() for name in ("place_a", "place_b")), strict=True)
    split, by_place = assign_splits(shas, labelled.place, list(related), options)
    ends = np.array([(row["a"], row["b"]) for row in labelled.similar], int).reshape(-1, 2)
    return Splits(split, assign_queries(shas, labelled.place, ends, options), by_place)
