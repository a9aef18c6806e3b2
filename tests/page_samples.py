"""Every page that is a file, made by the code that makes it, from a handful of small pictures in a few seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from hashpipe.common.files import open_workspace, sha256_file, write_json, write_text
from hashpipe.hashing.benchmarks.protocols import make_protocol
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.data.images import from_paths
from hashpipe.hashing.duplicates.groups import groups
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.evaluation.methods import coded
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.run import write
from hashpipe.hashing.evaluation.score_all import query_pages_of, score_all
from hashpipe.hashing.evaluation.scoring import Coded
from hashpipe.hashing.metrics.relevance import ClassLabels
from hashpipe.hashing.models.card import add_scores, write_card, write_page
from hashpipe.hashing.search.page import write_page as write_search
from hashpipe.hashing.search.results import Hit, SearchResult
from hashpipe.pairgen.colmap.adapter import pycolmap  # the only door to COLMAP: zlib comes before it
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, write_pairset
from hashpipe.pairgen.report.page import write_report

COUNT, PLACES, BITS = 60, 12, (16, 32)
LONG = "a folder with a very long name/" + "and_a_file_name_that_has_no_place_to_break" * 3 + ".jpg"


def make_photos(folder: Path) -> list[str]:
    """COUNT pictures; one lies deep under a long name."""
    rng = np.random.default_rng(0)
    names = [f"{number:03}.jpg" for number in range(COUNT - 1)] + [LONG]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(folder / name, quality=70)
    return names


def pairs_page(workspace: Path, root: Path, names: list[str]) -> Path:
    folder = workspace / "pairs"
    folder.mkdir(parents=True)
    place = [number * PLACES // COUNT for number in range(COUNT)]
    values = {
        "photo": range(COUNT), "path": names, "root": [str(root)] * COUNT,
        "sha256": [sha256_file(root / name) for name in names], "status": ["ok"] * COUNT, "place": place,
        "model": place, "split": ["train"] * COUNT, "query": [number % 5 == 0 for number in range(COUNT)],
        "taken_at": [None] * COUNT, "lat": [None] * COUNT, "lon": [None] * COUNT, "duplicate_of": [-1] * COUNT,
    }  # fmt: skip
    photos = pa.table({f.name: pa.array(list(values.get(f.name, [1] * COUNT)), f.type) for f in PHOTOS_SCHEMA})
    kinds = [
        ("covisible", 1, 0, 1),
        ("visible_surface", 1, 2, 3),
        ("hard_negative", -1, 0, 10),
        ("negative", -1, 1, 11),
    ]
    each = COUNT // PLACES
    pairs = [
        {
            "a": start + a, "b": start + b, "label": label, "kind": kind, "model": 0, "shared_points": 123,
            "overlap_ab": 0.5, "overlap_ba": 0.25, "visible_ab": 0.75, "visible_ba": 0.5, "scale_change": 1.25,
            "view_angle_deg": 17.0, "inliers": 77 if label > 0 else 4, "similarity": 0.42, "near_duplicate": False,
        }
        for kind, label, a, b in kinds
        for start in range(0, COUNT - 2 * each, each)
    ]  # fmt: skip
    relations = [{"place_a": 0, "place_b": 1, "relation": "look_alike", "evidence": "photos alike " * 12}]
    summary = {"seconds": {"features": 12.5, "match": 7.0}, "notes": ["A note about " + LONG]}
    write_pairset(
        folder,
        {"root": str(root), "parameters": {"seed": 0, "max_features": 4096}, "summary": summary},
        photos,
        pa.Table.from_pylist(pairs, schema=PAIRS_SCHEMA),
        pa.Table.from_pylist(relations, schema=RELATIONS_SCHEMA),
    )
    write_text(folder / "failures.csv", f"photo,stage,reason\n{LONG},read,truncated\n" + "x.jpg,read,empty\n" * 40)
    model = folder / "models" / "0"
    model.mkdir(parents=True)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_frames_per_rig, options.num_points3D = 5, 300
    made = pycolmap.synthesize_dataset(options)
    for image, name in zip(made.images.values(), names, strict=False):
        image.name = name
    made.write_binary(str(model))
    return write_report(folder)


def eval_page(workspace: Path, root: Path, names: list[str]) -> Path:
    """Codes of noisy descriptors at two lengths, beside baselines, under two protocols."""
    rng = np.random.default_rng(0)
    label = np.arange(COUNT) * PLACES // COUNT
    x = (rng.normal(size=(PLACES, 32))[label] + rng.normal(size=(COUNT, 32))).astype(np.float32)
    images = from_paths([root / name for name in names])
    queries = np.arange(0, COUNT, 5)
    database = np.setdiff1d(np.arange(COUNT), queries)
    result, pages, options = EvalResult(learnt="joint"), [], EvalOptions(rounds=100)
    for name in ("places/known", "places/unseen"):
        relevance = ClassLabels(label[queries], label[database])
        metrics = ("map", "map@5", "p@1", "p@r2", "empty@r2")
        protocol = make_protocol(
            name, images.names, queries, database, database, relevance, metrics, clusters=label[queries]
        )
        methods = [
            coded(method, bits, x @ rng.normal(size=(32, bits)).astype(np.float32), protocol)
            for bits in BITS
            for method in ("joint", "itq", "lsh")
        ]
        methods.append(Coded("float", None, x[queries], x[database]))
        pages += query_pages_of(result, protocol, images, score_all(result, protocol, methods, options))
    result.note("a note about " + LONG)
    result.meta |= {"model": "0123456789abcdef", "options": {"codes": LONG, "bits": [16, 32]}}
    write(result, workspace / "eval", pages)
    return workspace / "eval" / "report.html"


def groups_page(workspace: Path, root: Path, names: list[str]) -> Path:
    codes = np.repeat(np.random.default_rng(0).integers(0, 256, (COUNT // 2, 8)).astype(np.uint8), 2, axis=0)
    space = CodeSpace("0123456789abcdef", 64, np.zeros(64, np.float32))
    hashes = tuple(sha256_file(root / name) for name in names)
    ids, quality = np.arange(COUNT, dtype=np.int32), np.ones(COUNT, np.float32)
    write_codes(workspace / "codes.parquet", CodeSet(space, ids, tuple(names), hashes, codes, quality, str(root)))
    return groups(workspace, GroupsOptions(radius=3, look="off", near_radius=1, force=True)).folder / "groups.html"


def search_page(workspace: Path, root: Path, names: list[str]) -> Path:
    paths = [str(root / name) for name in reversed(names)]
    found = tuple(
        Hit(at, path, at, sha256_file(Path(path)), inliers=30 - at if at < 6 else -1) for at, path in enumerate(paths)
    )
    result = SearchResult((paths[0], paths[1]), (found, found[:3]), {"k": 60, "radius": None, "source": ""}, (), {})
    return write_search(result, workspace / "search.html")


def card_page(workspace: Path) -> Path:
    folder = workspace / "model"
    (folder / "plots").mkdir(parents=True)
    Image.new("RGB", (600, 460), "white").save(folder / "plots" / "loss_16.png")
    config = {
        "options": {}, "describer": {"backbone": "vlad", "words": 64, "image_size": 640}, "bits": [16, 32],
        "pairs": {"covisible": 120}, "fingerprint": "0123456789abcdef", "photos": 60, "objective": "joint", "seed": 0,
        "centred": True, "source": {"pairs": "89abcdef01234567"}, "notes": ["a note about " + LONG],
    }  # fmt: skip
    write_json(folder / "config.json", config)
    write_card(folder, config)
    rows = [
        {"protocol": f"places/{form}", "method": method, "bits": bits, "metric": "map", "value": 0.5}
        for form in ("known", "adapted", "unseen")
        for method in ("joint", "itq", "pca-rr")
        for bits in (16, 32, 48, 64, 96, 128)
    ]
    assert add_scores(folder, config["fingerprint"], rows)
    write_page(folder)
    return folder / "card.html"


def methods_page(folder: Path, template: Path) -> Path:
    """The page of benchmarks/ that compares methods."""
    from hashpipe.common.pages import fill_text

    columns = ["method", *(f"{form} {bits}" for form in ("known", "adapted", "unseen") for bits in (16, 32, 64))]
    rows = [[f"method {number}", *(0.5 + number / 100 for _ in columns[1:])] for number in range(40)]
    content = {
        "tables": [{"caption": "mobilenet_v2: a table", "columns": columns, "rows": rows}],
        "command": "python benchmarks/bench_methods.py " + "--option value " * 8,
        "commit": "0123abc", "seeds": [0, 1], "machine": "a machine",
    }  # fmt: skip
    page = fill_text(
        template.read_text(encoding="utf-8"),
        shown=lambda value: f"{value:.3f}" if isinstance(value, float) else value,
        **json.loads(json.dumps(content)),
    )
    write_text(folder / "methods.html", page)
    return folder / "methods.html"


def make_pages(folder: Path, repository: Path) -> dict[str, Path]:
    """All pages by name."""
    root, workspace = folder / "photos", open_workspace(folder / "ws", create=True)
    names = make_photos(root)
    parts = (workspace, root, names)
    return {
        "pairs": pairs_page(*parts),
        "eval": eval_page(*parts),
        "groups": groups_page(*parts),
        "search": search_page(*parts),
        "card": card_page(workspace),
        "methods": methods_page(folder, repository / "benchmarks" / "nested" / "methods.html"),
    }
