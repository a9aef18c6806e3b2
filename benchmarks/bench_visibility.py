"""Similar pairs against what rendered places truly show: precision and recall by exact depth.

    python benchmarks/bench_visibility.py                       # 6 places of 20 photos, about 6 minutes on two cores
    python benchmarks/bench_visibility.py --places 3 --views 15 --size 480 360

Rules were tuned on places 0 to 2 at 480 x 360 (--first 0); places from 3 on are new to them.

Each place is photographed on an arc and in close-ups of its parts, so that photos of one place may show nothing in
common. The truth of a pair is the share of one photo's surface pixels whose surface the other photo shows (the larger
direction), from the renderer's depth. A similar pair is right where that share reaches --least; pixels and 3D points
measure a share differently, so that two bounds are shown. Recall counts the pairs of registered photos that truly
meet the bounds of the visible-surface rule (share, scale change, angle).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from hashpipe.common.progress import show_progress
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.synthetic.demo_photos import develop
from hashpipe.pairgen.synthetic.render import Camera, Stage, View, look_at, render, viewpoints, visible_fraction
from hashpipe.pairgen.synthetic.scenes import make_scene


def cameras(seed: int, count: int, size: tuple[int, int]) -> list[Camera]:
    """Two thirds on the arc of the demo, the rest close-ups along the front, each of another part of it."""
    near = count // 3
    generator = np.random.default_rng([seed, 20])
    found = viewpoints(seed, count - near, size)
    for x in np.linspace(-4, 4, near):
        target = np.array([x, 0.3, generator.uniform(1.8, 3.0)])
        center = target + np.array(
            [generator.uniform(-1.5, 1.5), -generator.uniform(5.0, 7.5), generator.uniform(-0.6, 0.2)]
        )
        found.append(look_at(center, target, focal=float(generator.uniform(0.85, 1.05)), size=size))
    return found


def photograph(folder: Path, places: range, views: int, size: tuple[int, int]) -> dict[str, tuple[int, View]]:
    """Write the photos; returns place and view of each by file name."""
    folder.mkdir(parents=True)
    truth = {}
    for seed in places:
        stage = Stage(make_scene(seed, detail=max(size) / 640), seed)
        rng = np.random.default_rng([seed, 21])
        for number, camera in enumerate(cameras(seed, views, size)):
            view = render(stage, camera)
            name = f"{rng.integers(10**8):08d}-{number}.jpg"
            develop(view.rgb, rng).save(folder / name, quality=90)
            truth[name] = (seed, view)
    return truth


def true_measures(i: View, j: View) -> tuple[float, float, float]:
    """Share of common surface (larger direction), scale change and viewing angle (medians, degrees); NaN without."""
    share = max(visible_fraction(i, j), visible_fraction(j, i))
    points = i.surface()[::29]
    local = points @ j.camera.R.T + j.camera.t
    points, local = points[local[:, 2] > 0], local[local[:, 2] > 0]
    pixel = np.floor((local @ j.camera.K.T)[:, :2] / local[:, 2:]).astype(int)
    inside = ((pixel >= 0) & (pixel < j.camera.size)).all(axis=1)
    points, local, pixel = points[inside], local[inside], pixel[inside]
    same = np.abs(j.depth[pixel[:, 1], pixel[:, 0]] - local[:, 2]) <= 0.02 * local[:, 2]
    if not same.any():
        return share, np.nan, np.nan
    points, depth = points[same], local[same][:, 2]
    own = (points @ i.camera.R.T + i.camera.t)[:, 2]
    focal = [view.camera.K[0, 0] / max(view.camera.size) for view in (i, j)]
    ratio = float(np.median((focal[0] / own) / (focal[1] / depth)))
    rays = [points - view.camera.center for view in (i, j)]
    cosine = np.einsum("ij,ij->i", *rays) / np.prod([np.linalg.norm(ray, axis=1) for ray in rays], axis=0)
    return share, max(ratio, 1 / ratio), float(np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))))


def judge(
    workspace: Path, truth: dict[str, tuple[int, View]], options: BuildOptions, least: list[float]
) -> dict[str, object]:
    pairset = read_pairset(workspace / "pairs")
    known = [truth[path] for path in pairset.photos["path"].to_pylist()]
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    kind = np.asarray(pairset.pairs["kind"].to_pylist())
    model = pairset.photo_column("model")
    report: dict[str, object] = {}
    shares: dict[tuple[int, int], float] = {}
    labelled = set(zip(a[label > 0].tolist(), b[label > 0].tolist(), strict=True))
    wanted = found = 0
    for i in range(len(known)):
        for j in range(i + 1, len(known)):
            if known[i][0] != known[j][0]:
                continue
            share, scale, angle = true_measures(known[i][1], known[j][1])
            shares[i, j] = share
            true = share >= options.min_visible_overlap and scale <= options.max_visible_scale_change
            if true and angle <= options.max_view_angle and model[i] >= 0 and model[j] >= 0:
                wanted += 1
                found += (i, j) in labelled
    for name, mask in {
        "similar": label > 0,
        "covisible": kind == "covisible",
        "visible_surface": kind == "visible_surface",
        "visible_surface, no 3D point in common": (kind == "visible_surface")
        & (pairset.pair_column("shared_points") == 0),
        "visible_surface, never verified": (kind == "visible_surface") & (pairset.pair_column("inliers") < 15),
    }.items():
        pairs = list(zip(a[mask].tolist(), b[mask].tolist(), strict=True))
        own = np.array([shares.get(pair, 0.0) for pair in pairs])
        report[name] = {
            "pairs": len(own),
            "precision": {str(bound): round(float((own >= bound).mean()), 4) for bound in least} if len(own) else None,
            "true share, least and median": [round(float(f(own)), 3) for f in (np.min, np.median)]
            if len(own)
            else None,
        }
    wrong = [
        (str(pairset.photos["path"][x]), str(pairset.photos["path"][y]), round(shares.get((x, y), 0.0), 3))
        for x, y in sorted(labelled)
        if shares.get((x, y), 0.0) < max(least)
    ]
    inside = [known[x][0] == known[y][0] for x, y in zip(a[label < 0].tolist(), b[label < 0].tolist(), strict=True)]
    return {
        **report,
        "recall of pairs within the bounds": round(found / wanted, 4) if wanted else None,
        "pairs within the bounds": wanted,
        f"below {max(least)}": wrong,
        "dissimilar": len(inside),
        "dissimilar inside a place": sum(inside),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=6)
    parser.add_argument("--first", type=int, default=3, help="number of the first place")
    parser.add_argument("--views", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument(
        "--least",
        type=float,
        nargs="+",
        default=[0.1, 0.2],
        help="true shares of surface that make a similar pair right",
    )
    parser.add_argument("--workspace", type=Path, help="keep the workspace (and its report.html) in this new folder")
    options = parser.parse_args()
    show_progress("auto")
    with tempfile.TemporaryDirectory() as scratch:
        base = options.workspace or Path(scratch) / "ws"
        places = range(options.first, options.first + options.places)
        truth = photograph(base.with_name(base.name + "-photos"), places, options.views, tuple(options.size))
        start = time.monotonic()
        chosen = BuildOptions()
        summary = build_pairs(base.with_name(base.name + "-photos"), base, chosen)
        facts = {"photos": summary.photos, "registered": summary.registered, "places": summary.places}
        report = {**facts, "seconds": round(time.monotonic() - start), **judge(base, truth, chosen, options.least)}
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
