"""Ground truth in published formats, small ones made here and the real ones, with rankings of known AP."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from hashpipe.common.errors import UserError
from hashpipe.common.safe_pickle import MOST_BYTES, load
from hashpipe.hashing.benchmarks.benchmarks import load_benchmark
from hashpipe.hashing.benchmarks.groundtruth import read_matlab, read_oxford, read_revisited
from hashpipe.hashing.benchmarks.landmarks import landmark_protocol
from hashpipe.hashing.benchmarks.manifests import find_manifest
from hashpipe.hashing.benchmarks.objects import holidays_relevance
from hashpipe.hashing.evaluation.scoring import measure
from hashpipe.hashing.metrics.float_rankings import join_groups, ranking_groups
from hashpipe.hashing.metrics.metrics import trapezoid_ap

NAMES = [f"town_{i:06d}" for i in range(12)]


def write_matlab(path, ok, junk, boxes=True):
    def cells(rows):
        table = np.empty((len(rows), 1), dtype=object)
        table[:, 0] = rows
        return table

    entry = [("ok", "O"), ("junk", "O"), *([("bbx", "O")] if boxes else [])]
    gnd = np.zeros((1, len(ok)), dtype=entry)
    for q in range(len(ok)):
        gnd["ok"][0, q] = np.array(ok[q], dtype=np.uint8)[:, None] + 1
        gnd["junk"][0, q] = np.array(junk[q], dtype=np.uint8)[:, None] + 1
        if boxes:
            gnd["bbx"][0, q] = np.array([[10.5, 20, 60.5, 70]])
    queries = np.empty((len(ok), 3), dtype=object)
    for q in range(len(ok)):
        queries[q] = [NAMES[q], np.uint8(q + 1), f"town_{q}"]
    savemat(path, {"feature_name": cells(NAMES), "gnd": gnd, "query_list": queries})


def write_oxford(folder, good, ok, junk):
    folder.mkdir()
    for q in range(len(good)):
        (folder / f"town_{q}_query.txt").write_text(f"oxc1_{NAMES[q]} 10.5 20 60.5 70\n")
        for label, rows in (("good", good[q]), ("ok", ok[q]), ("junk", junk[q])):
            (folder / f"town_{q}_{label}.txt").write_text("".join(f"{NAMES[row]}\n" for row in rows))


def write_photos(folder):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")


def test_matlab_and_oxford_text_agree(tmp_path):
    write_matlab(tmp_path / "gnd.mat", [[0, 3, 4], [1, 5]], [[6], []])
    write_oxford(tmp_path / "text", [[0, 3], [1, 5]], [[4], []], [[6], []])
    matlab, text = read_matlab(tmp_path / "gnd.mat"), read_oxford(tmp_path / "text", NAMES)
    for label in ("positive", "junk"):
        for a, b in zip(matlab.rows[label], text.rows[label], strict=True):
            assert sorted(a) == sorted(b)
    assert matlab.queries == text.queries == (NAMES[0], NAMES[1])
    assert matlab.boxes[0] == text.boxes[0] == (10.5, 20, 60.5, 70)


def test_oxford_text_unpacked_on_other_systems(tmp_path):
    write_oxford(tmp_path / "text", [[0, 3], [1, 5]], [[4], []], [[6], []])
    wanted = read_oxford(tmp_path / "text", NAMES)
    for file in (tmp_path / "text").iterdir():
        file.write_bytes(file.read_text().replace("\n", "\r\n").encode("utf-8-sig"))
    found = read_oxford(tmp_path / "text", NAMES)
    assert (found.queries, found.boxes) == (wanted.queries, wanted.boxes)
    assert [rows.tolist() for rows in found.rows["positive"]] == [[0, 3, 4], [1, 5]]
    for broken in ("", "name 1 2 3\n", "name 1 2 3 x\n"):
        (tmp_path / "text" / "town_0_query.txt").write_text(broken)
        with pytest.raises(UserError, match="a photo name and four numbers"):
            read_oxford(tmp_path / "text", NAMES)


def test_oxford_benchmark_from_photos(tmp_path):
    write_photos(tmp_path / "photos")
    write_matlab(tmp_path / "gnd_oxford5k.mat", [[0, 3, 4], [1, 5]], [[6], []])
    found = load_benchmark("oxford5k", tmp_path)
    assert (len(found.images), len(found.queries), len(found.database)) == (14, 2, 12)
    crop = found.images.open(12, None)
    assert crop.size == (50, 50)
    whole = found.images.open(0, None)
    assert crop.tobytes() == whole.crop((10, 20, 60, 70)).tobytes()
    assert max(found.images.open(12, 32).size) == 32
    assert found.images.keys[12] != found.images.keys[0]
    (tmp_path / "photos" / f"{NAMES[7]}.jpg").unlink()
    with pytest.raises(UserError, match=rf"lacks 1 of the 12 photos of oxford5k \({NAMES[7]}\)"):
        load_benchmark("oxford5k", tmp_path)


def revisited(path, **changes):
    gnd = [
        {"bbx": np.array([0, 0, 50.0, 50]), "easy": np.array([2, 3]), "hard": np.array([4]), "junk": np.array([5, 6])},
        {
            "bbx": np.array([0, 0, 50.0, 50]),
            "easy": np.array([], dtype=int),
            "hard": np.array([7]),
            "junk": np.array([8]),
        },
    ]
    content = {"imlist": NAMES[2:], "qimlist": NAMES[:2], "gnd": gnd, **changes}
    path.write_bytes(pickle.dumps(content, protocol=2))


def test_revisited_protocols(tmp_path):
    write_photos(tmp_path / "photos")
    revisited(tmp_path / "gnd_roxford5k.pkl")
    found = load_benchmark("roxford5k", tmp_path)
    by_name = {one.name: one for one in found.protocols}
    assert set(by_name) == {"roxford5k/easy", "roxford5k/medium", "roxford5k/hard"}
    sides = {
        name: [(sorted(items.tolist()), sorted(junk.tolist())) for items, _, junk in map(one.relevance.of, (0, 1))]
        for name, one in by_name.items()
    }
    assert sides["roxford5k/easy"] == [([2, 3], [4, 5, 6]), ([], [7, 8])]
    assert sides["roxford5k/medium"] == [([2, 3, 4], [5, 6]), ([7], [8])]
    assert sides["roxford5k/hard"] == [([4], [2, 3, 5, 6]), ([7], [8])]
    assert any("1 of 2 queries have no relevant" in note for note in by_name["roxford5k/easy"].notes)


def test_revisited_with_distractors(tmp_path):
    write_photos(tmp_path / "photos")
    revisited(tmp_path / "gnd_roxford5k.pkl")
    with pytest.raises(UserError, match="revisitop1m"):
        load_benchmark("roxford5k+1m", tmp_path)
    (tmp_path / "revisitop1m").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "revisitop1m" / "far.jpg")
    found = load_benchmark("roxford5k+1m/hard", tmp_path)
    assert len(found.database) == 11
    assert found.protocol == "roxford5k+1m/hard"


def test_hostile_pickles_do_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    for content in (Evil(), [Evil()], np.array([Evil()], dtype=object)):
        path = tmp_path / "gnd_roxford5k.pkl"
        path.write_bytes(pickle.dumps({"imlist": content}))
        with pytest.raises(UserError, match="not a pickle of plain lists"):
            read_revisited(path)
    with pytest.raises(UserError, match=r"builtins\.eval"):
        load(b"cbuiltins\neval\n(S'1'\ntR.", "it")
    assert not (tmp_path / "evil").exists()


def test_a_huge_pickle_is_not_even_read(tmp_path, monkeypatch):
    with (tmp_path / "gnd_roxford5k.pkl").open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # takes no space on the disk
    monkeypatch.setattr(type(tmp_path), "read_bytes", None)
    with pytest.raises(UserError, match="more than the 1,073,741,824 that are read"):
        read_revisited(tmp_path / "gnd_roxford5k.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        read_revisited(tmp_path / "none.pkl")


def test_indices_past_the_list_are_refused(tmp_path):
    write_matlab(tmp_path / "gnd.mat", [[0, 12], [1]], [[], []])
    with pytest.raises(UserError, match="photo 12, past its list of 12"):
        read_matlab(tmp_path / "gnd.mat")
    revisited(tmp_path / "gnd.pkl", imlist=NAMES[2:7])
    with pytest.raises(UserError, match="past its list of 5"):
        read_revisited(tmp_path / "gnd.pkl")
    revisited(tmp_path / "gnd.pkl", gnd=[{"easy": [0]}])
    with pytest.raises(UserError, match="lacks parts"):
        read_revisited(tmp_path / "gnd.pkl")
    (tmp_path / "gnd.mat").write_bytes(b"MATLAB 5.0 nonsense")
    with pytest.raises(UserError, match="MATLAB layout"):
        read_matlab(tmp_path / "gnd.mat")


def holidays_photos(folder, numbers):
    for number in numbers:
        Image.new("RGB", (30, 20), (number % 255, number // 100 % 255, 0)).save(folder / f"{number}.jpg")


def test_holidays_and_ukbench_by_name(tmp_path):
    (tmp_path / "h").mkdir()
    holidays_photos(tmp_path / "h", [100000, 100001, 100002, 100100, 100101])
    found = load_benchmark("holidays", tmp_path / "h")
    assert [found.images.names[q][-10:] for q in found.queries] == ["100000.jpg", "100100.jpg"]
    items, _, junk = found.relevance.of(0)
    assert (items.tolist(), junk.tolist()) == ([1, 2], [0])
    assert "not comparable" in found.notes[0]
    (tmp_path / "u").mkdir()
    for i in range(8):
        Image.new("RGB", (30, 20), (i, 0, 0)).save(tmp_path / "u" / f"ukbench{i:05d}.jpg")
    found = load_benchmark("ukbench", tmp_path / "u")
    assert found.relevance.of(5)[0].tolist() == [4, 5, 6, 7]
    (tmp_path / "u" / "ukbench00006.jpg").unlink()
    with pytest.raises(UserError, match="incomplete groups"):
        load_benchmark("ukbench", tmp_path / "u")


# --- the real files, with simulated rankings


def development_files() -> Path:
    root = Path(os.environ.get("HASHPIPE_PHOTOS", Path(__file__).resolve().parents[4] / "shared"))
    folder = (root if (root / "benchmarks").exists() else root.parent) / "benchmarks" / "ground_truth"
    if not folder.exists():
        pytest.skip("the published ground truth files are not here")
    return folder


def ap_of_ranking(distance, relevance):
    return trapezoid_ap(join_groups([ranking_groups(distance[q], *relevance.of(q)) for q in range(len(distance))]))


@pytest.mark.photos
@pytest.mark.parametrize(("name", "queries", "photos"), [("oxford5k", 55, 5063), ("paris6k", 55, 6392)])
def test_real_landmarks_with_simulated_rankings(name, queries, photos):
    truth = read_matlab(development_files() / f"gnd_{name}.mat")
    assert (len(truth.queries), len(truth.names)) == (queries, photos)
    protocol = landmark_protocol(find_manifest(name), "standard", truth, truth.names + truth.queries, photos)
    perfect = np.ones((queries, photos))
    for q in range(queries):
        items, _, junk = protocol.relevance.of(q)
        perfect[q, items] = 0
        perfect[q, junk] = -1  # junk ranked first must not matter
    distinct = perfect + np.linspace(0, 0.5, photos)
    np.testing.assert_allclose(ap_of_ranking(distinct, protocol.relevance), 1.0)
    # every positive pushed behind m others: AP by its definition
    for q in range(0, queries, 11):
        items, _, junk = protocol.relevance.of(q)
        others = np.setdiff1d(np.arange(photos), np.union1d(items, junk))[:7]
        shifted = distinct[q].copy()
        shifted[others] = -0.5
        positives = len(items)
        expected = sum((j / (7 + j) + (j + 1) / (8 + j)) / 2 for j in range(positives)) / positives
        found = trapezoid_ap(ranking_groups(shifted, *protocol.relevance.of(q)))[0]
        assert found == pytest.approx(expected, abs=1e-12)
    # one tie of everything: the expectation is that of a random order
    rng = np.random.default_rng(0)
    tied = ap_of_ranking(np.zeros((queries, photos)), protocol.relevance)
    random = np.mean([ap_of_ranking(rng.random((queries, photos)), protocol.relevance) for _ in range(20)], axis=0)
    assert tied.mean() == pytest.approx(random.mean(), rel=0.05)


@pytest.mark.photos
def test_real_holidays_equals_the_rule_of_names():
    truth = read_matlab(development_files() / "gnd_holidays.mat")
    numbers = np.array([int(name) for name in truth.names])
    queries, relevance = holidays_relevance(numbers, "holidays")
    assert [truth.names[row] for row in queries] == list(truth.queries)
    for q in range(500):
        items, _, junk = relevance.of(q)
        assert sorted(items) == sorted(truth.rows["positive"][q])
        assert sorted(junk) == sorted(truth.rows["junk"][q])
    distance = np.ones((500, 1491)) + np.linspace(0, 0.5, 1491)
    distance[np.arange(500), queries] = -1
    second = np.zeros(500)
    for q in range(500):
        items, _, _ = relevance.of(q)
        distance[q, items] = np.linspace(0.1, 0.2, len(items))
        distance[q, (queries[q] + 700) % 1491] = 0.05  # one wrong photo in front
        r = len(items)
        second[q] = sum((j / (1 + j) + (j + 1) / (2 + j)) / 2 for j in range(r)) / r
    found = ap_of_ranking(distance, relevance)
    clean = [(queries[q] + 700) % 1491 not in relevance.of(q)[0] for q in range(500)]
    np.testing.assert_allclose(found[clean], second[clean], atol=1e-12)
    groups = join_groups([ranking_groups(distance[q], *relevance.of(q)) for q in range(500)])
    assert measure("r@1", groups, None, "trapezoid").values[clean].max() == 0
