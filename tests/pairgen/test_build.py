"""The whole of `pairs build` on rendered photos with real COLMAP: what it finds, repeats, survives and refuses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace, sha256_file
from hashpipe.pairgen import build as build_module
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.colmap.database import matched_pairs
from hashpipe.pairgen.matching.extract import extract_features
from hashpipe.pairgen.matching.vlad import sift, stored_features
from hashpipe.pairgen.option_bounds import check_options
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.pairs.validate import validate_pairset
from hashpipe.pairgen.pairs.verify import verify_pairs
from hashpipe.pairgen.photos.listing import describe_photos
from hashpipe.pairgen.photos.load import load_upright
from hashpipe.pairgen.report.page import write_report
from hashpipe.pairgen.report.side_by_side import shared_points
from hashpipe.pairgen.summary import BuildSummary

if TYPE_CHECKING:  # several folders have a conftest, so the name must not be imported when tests run
    from conftest import RenderedPhotos


def true_places(rendered_photos: RenderedPhotos, workspace: Path) -> np.ndarray:
    """Rendered place of every row of the PairSet, -1 for lone and broken photos."""
    paths = read_pairset(workspace / "pairs").photos["path"].to_pylist()
    return np.array([rendered_photos.truth.place.get(Path(path).name, -1) for path in paths])


def test_every_place_becomes_a_model_and_labels_are_true(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary]
) -> None:
    workspace, summary = built
    pairset = read_pairset(workspace / "pairs")
    truth = true_places(rendered_photos, workspace)
    assert summary.places == 3
    assert summary.registered >= 16  # of 18
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    assert (truth[a[label == 1]] == truth[b[label == 1]]).all()
    assert (truth[a[label == 1]] >= 0).all()
    assert not ((truth[a[label == -1]] == truth[b[label == -1]]) & (truth[a[label == -1]] >= 0)).any()
    assert (label == 1).sum() >= 15
    assert (label == -1).sum() >= 15
    place = pairset.photo_column("place")
    for number in range(3):
        assert len(set(place[truth == number]) - {-1}) == 1


def test_broken_and_duplicate_files_are_listed_and_shift_nothing(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary]
) -> None:
    workspace, summary = built
    pairset = read_pairset(workspace / "pairs")
    status = pairset.photos["status"].to_pylist()
    assert status.count("unreadable") == status.count("duplicate") == 1
    (copy,) = np.flatnonzero(np.array(status) == "duplicate")
    original = int(pairset.photo_column("duplicate_of")[copy])
    assert pairset.photos["sha256"][int(copy)] == pairset.photos["sha256"][original]
    assert summary.skipped[0]["reason"]
    assert summary.skipped[0]["photo"] in (workspace / "pairs" / "failures.csv").read_text(encoding="utf-8")
    for path in pairset.photo_paths():
        assert path.exists()
    used = set(pairset.pair_column("a")) | set(pairset.pair_column("b"))
    assert all(status[photo] == "ok" for photo in used)


def test_outputs_are_there(built: tuple[Path, BuildSummary]) -> None:
    folder = built[0] / "pairs"
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "<html" in report
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "https://" not in report
    for model in built[1].models:
        cloud = (folder / "models" / str(model["model"]) / "cloud.ply").read_bytes()
        assert cloud.startswith(b"ply")
        assert (folder / "models" / str(model["model"]) / "images.bin").exists()
    text = built[1].as_text()
    assert built[1].fingerprint in text
    assert "without a partner" in text


def test_same_photos_give_the_same_pairs_and_a_second_run_repeats_nothing(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    workspace, summary = built
    folder = workspace / "pairs"
    kept = {path: path.stat().st_mtime_ns for path in (*folder.glob("mapping/*/**/*"), folder / "vlad.npz")}
    rows = len(matched_pairs(folder / "database.db"))
    again = build_pairs(rendered_photos.folder, workspace, BuildOptions(workers=1))
    assert again.fingerprint == summary.fingerprint
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(matched_pairs(folder / "database.db")) == rows
    other = build_pairs(rendered_photos.folder, tmp_path / "ws", BuildOptions(workers=1))
    assert other.fingerprint == summary.fingerprint


def test_stored_features_equal_fresh_ones_and_pairs_are_verified_on_demand(built: tuple[Path, BuildSummary]) -> None:
    from hashpipe.pairgen.photos.load import load_upright

    pairset = read_pairset(built[0] / "pairs")
    store = stored_features(built[0] / "pairs")
    assert store is not None
    with store:
        first = int(np.flatnonzero(np.array(pairset.photos["status"].to_pylist()) == "ok")[0])
        kept = store.get(pairset.photos["sha256"][first].as_py())
        assert kept is not None
        fresh = sift(load_upright(pairset.photo_paths()[first], store.max_side), store.max_features)
        assert np.array_equal(kept, fresh)
        assert store.get("0" * 64) is None
    broken = int(np.flatnonzero(np.array(pairset.photos["status"].to_pylist()) == "unreadable")[0])
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    similar = np.flatnonzero((label == 1) & (pairset.pair_column("inliers") > 0))[0]
    asked = np.array([[a[similar], b[similar]], [b[similar], a[similar]], [first, broken]])
    inliers = verify_pairs(pairset, asked)
    assert inliers[0] == inliers[1] == pairset.pair_column("inliers")[similar]
    assert inliers[2] == -1
    negatives = np.stack([a[label == -1], b[label == -1]], axis=1)[:5]
    assert (verify_pairs(pairset, negatives) < 15).all()


@pytest.mark.parametrize(
    ("name", "size"), [("points3D.bin", 0), ("images.bin", 1000), ("rigs.bin", 0), ("cameras.bin", 0)]
)
def test_a_model_that_lacks_files_leaves_the_matches_to_show(
    built: tuple[Path, BuildSummary], tmp_path: Path, name: str, size: int
) -> None:
    shutil.copytree(built[0] / "pairs", tmp_path / "pairs")
    pairset = read_pairset(tmp_path / "pairs")
    row = int(np.flatnonzero((pairset.pair_column("label") == 1) & (pairset.pair_column("inliers") >= 15))[0])
    a, b, model = (int(pairset.pair_column(column)[row]) for column in ("a", "b", "model"))
    assert shared_points(pairset, a, b).what in ("points", "surface")
    damaged = tmp_path / "pairs" / "models" / str(model) / name
    if size:
        damaged.write_bytes(damaged.read_bytes()[:size])
    else:
        damaged.unlink()
    assert shared_points(pairset, a, b).what == "matches"
    found = validate_pairset(tmp_path / "pairs")
    assert found.faults == []
    told = [note for note in found.notes if f"models/{model}/{name} is missing or damaged: 1 of" in note]
    assert bool(told) == (name != "rigs.bin")  # what only COLMAP itself would miss
    page = write_report(tmp_path / "pairs").read_text(encoding="utf-8")
    assert f"Model {model} seen from above" not in page
    assert f"Model {(model + 1) % 3} seen from above" in page


@pytest.mark.parametrize("delay", [1.5, 4.0, 7.0, 10.0])
@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_pairs(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path, delay: float
) -> None:
    command = [str(Path(sys.executable).with_name("hashpipe")), "pairs", "build", str(rendered_photos.folder), "-w"]
    process = subprocess.Popen([*command, str(tmp_path / "ws")], stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    resumed = build_pairs(rendered_photos.folder, tmp_path / "ws", BuildOptions())
    assert resumed.fingerprint == built[1].fingerprint


def test_added_and_removed_photos(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(rendered_photos.folder, photos)
    shutil.copytree(built[0], tmp_path / "ws")
    assert built[1].changes is None
    copied = rendered_photos.truth.duplicate_of.values()
    of_place = [name for name, place in rendered_photos.truth.place.items() if place == 0 and name not in copied]
    victim = photos / of_place[0]
    victim.rename(tmp_path / victim.name)
    fewer = build_pairs(photos, tmp_path / "ws", BuildOptions())
    assert fewer.photos == built[1].photos - 1
    assert fewer.changes is not None
    assert fewer.changes["photos"] == {"new": 0, "gone": 1, "kept": built[1].distinct - 1}
    assert fewer.changes["places"] == {"new": 0, "gone": 0, "grown": 0, "changed": 1, "unchanged": 2}
    assert fewer.changes["pairs"]["gone"] > 0
    (tmp_path / victim.name).rename(victim)
    back = build_pairs(photos, tmp_path / "ws", BuildOptions())
    assert back.fingerprint == built[1].fingerprint
    assert back.changes is not None
    assert back.changes["places"] == {"new": 0, "gone": 0, "grown": 1, "changed": 0, "unchanged": 2}
    assert "Changed     photos 1 new" in back.as_text()
    again = build_pairs(photos, tmp_path / "ws", BuildOptions())
    assert "Changed     nothing since the last build" in again.as_text()
    assert again.as_json()["changes"]["photos"]["new"] == 0


def test_added_photos_are_all_that_is_worked_on(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    """Built without two photos of one place: these are then found, matched, described, and only their place mapped."""
    shutil.copytree(rendered_photos.folder, tmp_path / "photos")
    of_place = [
        path for path in sorted((tmp_path / "photos").iterdir()) if rendered_photos.truth.place.get(path.name) == 1
    ]
    for path in of_place[:2]:
        path.rename(tmp_path / path.name)
    options = BuildOptions(exhaustive_below=0, neighbours=4, max_features=2000)
    first = build_pairs(tmp_path / "photos", tmp_path / "ws", options)
    folder = tmp_path / "ws" / "pairs"
    matched = set(matched_pairs(folder / "database.db"))
    mapped = {path: path.stat().st_mtime_ns for path in folder.glob("mapping/*/done.json")}
    with np.load(folder / "vlad.npz") as stored:
        vlads = dict(zip(stored["shas"].tolist(), stored["vlads"], strict=True))
    for path in of_place[:2]:
        (tmp_path / path.name).rename(path)
    second = build_pairs(tmp_path / "photos", tmp_path / "ws", options)
    assert second.changes is not None
    assert second.changes["photos"] == {"new": 2, "gone": 0, "kept": first.distinct}
    assert second.changes["places"]["unchanged"] == 2
    new = {sha256_file(path) for path in of_place[:2]}
    added = set(matched_pairs(folder / "database.db")) - matched
    assert added
    touching = [pair for pair in added if new & set(pair)]
    assert len(touching) >= 0.8 * len(added)  # growth through a new photo may join two old ones
    assert {path: path.stat().st_mtime_ns for path in mapped} == mapped
    assert len(list(folder.glob("mapping/*/done.json"))) == len(mapped) + 1
    with np.load(folder / "vlad.npz") as stored:
        after = dict(zip(stored["shas"].tolist(), stored["vlads"], strict=True))
    assert set(after) - set(vlads) == new
    assert all(np.array_equal(after[sha], vlads[sha]) for sha in vlads)


@pytest.mark.slow
def test_places_that_are_too_large_are_built_in_communities_and_their_pairs_united(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    shutil.copytree(built[0], tmp_path / "ws")
    summary = build_pairs(rendered_photos.folder, tmp_path / "ws", BuildOptions(max_community=5))
    assert summary.places == 3
    assert len(summary.models) > 3
    assert max(model["registered"] for model in summary.models) <= 5
    assert any("overlapping communities" in note for note in summary.notes)
    pairset = read_pairset(tmp_path / "ws" / "pairs")
    truth = true_places(rendered_photos, tmp_path / "ws")
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    assert (truth[a[label == 1]] == truth[b[label == 1]]).all()
    assert not ((truth[a[label == -1]] == truth[b[label == -1]]) & (truth[a[label == -1]] >= 0)).any()
    assert (label == 1).sum() >= 0.6 * (built[1].pairs["covisible"] + built[1].pairs["visible_surface"])
    assert len(set(pairset.pair_column("model")[label == 1])) > 3


def blank(path: Path, shade: int) -> None:
    Image.new("RGB", (64, 48), (shade, shade, shade)).save(path)


def test_collections_without_3d(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        build_pairs(photos, tmp_path / "ws", BuildOptions())
    blank(photos / "a.png", 10)
    with pytest.raises(UserError, match="one distinct readable photo"):
        build_pairs(photos, tmp_path / "ws", BuildOptions())
    shutil.copy(photos / "a.png", photos / "b.png")
    with pytest.raises(UserError, match="one distinct readable photo"):
        build_pairs(photos, tmp_path / "ws", BuildOptions())
    for shade in range(20, 25):
        blank(photos / f"{shade}.png", shade)
    summary = build_pairs(photos, tmp_path / "ws", BuildOptions())
    assert (summary.places, summary.distinct, summary.duplicates, summary.without_partner) == (0, 6, 1, 6)
    assert "neighbour discovery" in summary.as_text()
    for path in photos.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(UserError, match="7 of them are away or unreadable"):
        build_pairs(photos, tmp_path / "ws", BuildOptions())
    with pytest.raises(UserError, match="can be read"):
        build_pairs(photos, tmp_path / "ws", BuildOptions(force=True))


def test_bad_options_and_places_to_write(tmp_path: Path, rendered_photos: RenderedPhotos) -> None:
    for options in (BuildOptions(max_side=0), BuildOptions(min_overlap=2.0), BuildOptions(min_model_size=2)):
        with pytest.raises(UserError, match="choose a value from"):
            check_options(options)
    with pytest.raises(UserError, match="cannot be written"):
        build_pairs(rendered_photos.folder, Path("/proc/ws"), BuildOptions())
    open_workspace(tmp_path / "old", create=True)
    (tmp_path / "old" / "workspace.json").write_text('{"workspace_version": 0}')
    with pytest.raises(UserError, match="version 0"):
        build_pairs(rendered_photos.folder, tmp_path / "old", BuildOptions())


def test_a_report_that_cannot_be_made_costs_no_pairs(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path, no_drawing: list[str]
) -> None:
    shutil.copytree(built[0], tmp_path / "ws")
    summary = build_pairs(rendered_photos.folder, tmp_path / "ws", BuildOptions())
    assert summary.fingerprint == read_pairset(tmp_path / "ws" / "pairs").fingerprint == built[1].fingerprint
    assert summary.as_json()["report"] is None  # and not the page of the build before
    assert "Report" not in summary.as_text()
    assert [line.split(" could not")[0] for line in no_drawing] == ["The report"]


def test_a_folder_that_is_away_or_another_replaces_no_pairs(
    rendered_photos: RenderedPhotos, built: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    workspace, photos = tmp_path / "ws", tmp_path / "drive" / "photos"
    shutil.copytree(built[0], workspace)
    shutil.copytree(rendered_photos.folder, photos)
    moved = build_pairs(photos, workspace, BuildOptions())  # a copy of the folder is as good as the folder
    assert moved.fingerprint == built[1].fingerprint
    before = (workspace / "pairs" / "meta.json").read_bytes()
    with pytest.raises(UserError, match=r"holds pairs of \d+ photos in .*photos, and 0 of them .* give --force"):
        build_pairs(photos / "..", workspace, BuildOptions())
    kept = sorted(photos.iterdir())[:3]
    for path in photos.iterdir():
        if path not in kept:
            path.unlink()
    with pytest.raises(UserError, match=r"and \d+ of them are away or unreadable, .* give --force"):
        build_pairs(photos, workspace, BuildOptions())
    assert (workspace / "pairs" / "meta.json").read_bytes() == before
    assert build_pairs(photos, workspace, BuildOptions(force=True)).distinct == 3


@pytest.mark.parametrize("stage", ["extract_features", "label_pairs"])
def test_photos_that_change_or_go_during_a_build_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Before their features are found they are left out; afterwards the pairs are of what they were."""
    photos, workspace = tmp_path / "photos", tmp_path / "ws"
    photos.mkdir()
    for number in range(5):
        blank(photos / f"{number}.png", 40 * number)
    whole = getattr(build_module, stage)

    def disturbed(*arguments):
        blank(photos / "1.png", 200)
        (photos / "2.png").unlink()
        return whole(*arguments)

    monkeypatch.setattr(build_module, stage, disturbed)
    summary = build_pairs(photos, workspace, BuildOptions())
    failures = (workspace / "pairs" / "failures.csv").read_text()
    reasons = {one["photo"]: one["reason"] for one in summary.skipped}
    if stage == "extract_features":
        assert reasons == {
            "1.png": "its content has changed while the pairs were made",
            "2.png": "no such file or directory",
        }
        assert summary.disturbed == []
    else:
        assert reasons == {}
        assert [one["photo"] for one in summary.disturbed] == ["1.png", "2.png"]
        assert any("2 photos changed or went while the pairs were made" in note for note in summary.notes)
        assert "1.png,check,changed while the pairs were made" in failures
    assert "2.png," in failures
    monkeypatch.undo()
    again = build_pairs(photos, workspace, BuildOptions())
    assert (again.photos, again.distinct, again.skipped, again.disturbed) == (4, 4, [], [])


def test_features_of_a_photo_are_those_of_its_content(tmp_path: Path, rendered_photos: RenderedPhotos) -> None:
    """Two photos change places after they were described: what is stored of their contents is not exchanged."""
    names = sorted(rendered_photos.truth.place)[:3]
    for name in names:
        shutil.copy(rendered_photos.folder / name, tmp_path / name)
    files = describe_photos(tmp_path, names)
    one, two = tmp_path / names[0], tmp_path / names[1]
    content = one.read_bytes(), two.read_bytes()
    one.write_bytes(content[1])
    two.write_bytes(content[0])
    (tmp_path / "pairs").mkdir()
    broken = extract_features(tmp_path, files, tmp_path / "pairs", BuildOptions(max_side=240))
    assert set(broken) == {files[0].sha256, files[1].sha256}
    one.write_bytes(content[0])
    two.write_bytes(content[1])
    assert extract_features(tmp_path, files, tmp_path / "pairs", BuildOptions(max_side=240)) == {}  # tried again
    stored = stored_features(tmp_path / "pairs")
    with stored:
        for photo in files:
            np.testing.assert_array_equal(
                stored.get(photo.sha256), sift(load_upright(tmp_path / photo.path, 240), stored.max_features)
            )
