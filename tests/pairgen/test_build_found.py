"""What a build and its estimate say of the files of a folder: videos, pages, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from photo_samples import encoded, video
from PIL import Image

from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.dry_run import estimate_build
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.pairs.validate import validate_pairset

SAID = (
    "Left out    3 files of kinds that are not read: .txt 2, .xmp 1",
    "            2 files in folders of small, deleted or earlier versions that other programs keep: @eaDir 2",
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "@eaDir").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "c.xmp", "@eaDir/1", "@eaDir/2"):
        (folder / name).write_text("text")
    texture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)).resize((320, 240))
    (folder / "scan.tif").write_bytes(encoded("TIFF", texture, save_all=True, append_images=[texture.convert("L")]))
    video(folder / "clip.mp4")
    return folder


def test_a_build_with_frames_of_a_video(photos, tmp_path):
    options = BuildOptions(video_frames=2, max_features=300, max_side=320)
    foreseen = estimate_build(photos, tmp_path / "ws", options)
    found = build_pairs(photos, tmp_path / "ws", options)
    for summary in (foreseen, found):
        assert (summary.photos, summary.distinct) == (3, 3)
        assert all(line in summary.as_text().splitlines() for line in SAID)
        assert summary.as_json()["left_out"] == {"kinds": {".txt": 2, ".xmp": 1}, "folders": {"@eaDir": 2}}
        assert "1 file holds several pages or frames, of which the first is read: scan.tif." in summary.notes
    pairset = read_pairset(tmp_path / "ws/pairs")
    names = pairset.photos["path"].to_pylist()
    assert [name[:10] for name in names] == ["clip.mp4#0", "clip.mp4#0", "scan.tif"]
    assert validate_pairset(tmp_path / "ws/pairs", True).faults == []
    assert build_pairs(photos, tmp_path / "ws", options).fingerprint == found.fingerprint
    (photos / "clip.mp4").write_bytes((photos / "clip.mp4").read_bytes() + b"\0\0\0\x08free")
    faults = validate_pairset(tmp_path / "ws/pairs", True).faults
    assert [fault.rpartition("clip.mp4#")[2][7:] for fault in faults] == ["has changed since the pairs were made"] * 2


def test_without_frames_a_video_is_said(photos, tmp_path):
    text = estimate_build(photos, tmp_path / "ws", BuildOptions()).as_text()
    assert "Left out    4 files of kinds that are not read: .txt 2, .mp4 1, .xmp 1; --video-frames reads videos" in text
