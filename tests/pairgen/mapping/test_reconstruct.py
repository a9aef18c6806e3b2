"""Reconstruction jobs: communities, time limit, the global mapper, failures that stay alone, damaged results."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hashpipe.pairgen.colmap import adapter, reconstructions
from hashpipe.pairgen.colmap.database import matched_pairs
from hashpipe.pairgen.mapping.reconstruct import Component, connected, reconstruct, split
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.photos.metadata import Photo


@pytest.fixture(scope="module")
def matched(built, rendered_photos, tmp_path_factory) -> tuple[Path, Path, list[Photo], list[Component]]:
    """Photo folder, a pairs folder with features and matches only, usable photos, components by size."""
    folder = tmp_path_factory.mktemp("matched")
    for name in ("database.db", "features.json"):
        shutil.copy(built[0] / "pairs" / name, folder / name)
    rows = [row for row in read_pairset(built[0] / "pairs").photos.to_pylist() if row["status"] == "ok"]
    photos = [Photo(row["path"], row["sha256"]) for row in rows]
    number = {photo.sha256: row for row, photo in enumerate(photos)}
    table = np.array([(number[a], number[b], n) for (a, b), (_, n) in matched_pairs(folder / "database.db").items()])
    _, components = connected(len(photos), *table.T, BuildOptions().min_inliers)
    return rendered_photos.folder, folder, photos, sorted(components, key=lambda one: -len(one.photos))


def registered(models) -> set[str]:
    return {path for model in models for path in reconstructions.registered_in(model)}


def test_a_component_within_the_bound_is_one_job_as_it_is(matched):
    component = matched[3][0]
    assert split(component, len(component.photos)) == [component]


def test_a_larger_one_is_mapped_in_communities_and_all_models_are_its_own(matched, tmp_path):
    root, folder, photos, components = matched
    component = components[0]
    parts = split(component, 5)
    assert len(parts) > 1
    assert all(len(part.photos) <= 5 for part in parts)
    assert set().union(*(part.photos for part in parts)) == set(component.photos)
    assert all({a, b} <= set(part.photos) for part in parts for a, b, _ in part.edges)
    (mapping,) = reconstruct(root, photos, folder, [component], BuildOptions(max_community=5))
    assert mapping.jobs == len(parts)
    assert not mapping.error
    assert registered(mapping.models) <= {photos[row].path for row in component.photos}
    assert len(registered(mapping.models)) >= 5
    assert all(len(reconstructions.registered_in(model)) <= 5 for model in mapping.models)


def test_a_job_that_fails_takes_no_other_along(matched):
    root, folder, photos, components = matched
    strange = replace(photos[components[0].photos[0]], sha256="f" * 64)  # has no features
    listed = [strange if row == components[0].photos[0] else photo for row, photo in enumerate(photos)]
    bad, good = reconstruct(root, listed, folder, components[:2], BuildOptions())
    assert (bad.component, good.component) == (0, 1)
    assert bad.error
    assert not bad.models
    assert not good.error
    assert len(registered(good.models)) >= 5


def test_a_job_that_meets_its_time_limit_is_kept_and_made_again_with_more_time(matched):
    root, folder, photos, components = matched
    hurried = BuildOptions(job_minutes=0.001, seed=7)
    (mapping,) = reconstruct(root, photos, folder, components[2:3], hurried)
    assert mapping.stopped == 1
    assert not mapping.error
    assert mapping.attempts == 1  # nothing was tried again
    (note,) = (path for path in folder.glob("mapping/*/done.json") if "stopped_after" in path.read_text())
    written = note.stat().st_mtime_ns
    reconstruct(root, photos, folder, components[2:3], hurried)
    assert note.stat().st_mtime_ns == written
    (patient,) = reconstruct(root, photos, folder, components[2:3], replace(hurried, job_minutes=0))
    assert patient.stopped == 0
    assert len(registered(patient.models)) >= 5


@pytest.mark.parametrize("damage", ["points3D.bin", "done.json", "images.bin"])
def test_a_damaged_result_is_made_again(matched, damage):
    root, folder, photos, components = matched
    (mapping,) = reconstruct(root, photos, folder, components[1:2], BuildOptions())
    target = mapping.models[0].parent / damage if damage == "done.json" else mapping.models[0] / damage
    if damage == "done.json":
        target.write_text("{")
    else:
        target.unlink()
    (again,) = reconstruct(root, photos, folder, components[1:2], BuildOptions())
    assert again.models == mapping.models
    assert target.stat().st_size > 0
    assert registered(again.models)


def test_the_global_mapper(matched):
    root, folder, photos, components = matched
    (mapping,) = reconstruct(root, photos, folder, components[:1], BuildOptions(mapper="global"))
    assert not mapping.error
    assert len(registered(mapping.models)) >= 5
    assert all(reconstructions.point_count(model) >= 30 for model in mapping.models)
    done = json.loads((mapping.models[0].parent / "done.json").read_text())
    assert done["attempts"] >= 1


def test_the_incremental_mapper_follows_where_the_global_one_fails(matched, monkeypatch, tmp_path):
    """A place that the global mapper cannot do: it is given no matches, the incremental one all of them."""
    from hashpipe.pairgen.mapping import reconstruction_job as job

    root, folder, photos, components = matched
    empty = tmp_path / "empty.db"
    chosen = [photos[row] for row in components[0].photos]
    edges = [(photos[a].sha256, photos[b].sha256, strength) for a, b, strength in components[0].edges]
    adapter.write_part(folder / "database.db", [photo.sha256 for photo in chosen], [], empty)
    whole = job._map_globally
    monkeypatch.setattr(job, "_map_globally", lambda part, *rest: whole(empty, *rest))
    job.map_community(folder / "database.db", root, chosen, edges, tmp_path / "out", BuildOptions(mapper="global"))
    done = json.loads((tmp_path / "out" / "done.json").read_text())
    assert len(registered([tmp_path / "out" / str(number) for number in range(done["models"])])) >= 5
