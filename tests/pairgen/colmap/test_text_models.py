"""Text models as COLMAP and other programs write them: every way gives the arrays of the binary model."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.pairgen.colmap.adapter import Reconstruction
from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.colmap.reconstructions import copy_model, observations, read_model, registered_in

NAMES = ["a.jpg", "cam 1/photo  2.jpg", "été/日本 3.jpg", "4 5 6.jpg"]
POINTS = 30


def write(folder: Path, names: list[str] = NAMES) -> Path:
    """Four photos side by side that all see 30 points; photo 4 sees none."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    cloud = generator.normal(0, 0.5, (POINTS, 3)) + np.array([0, 0, 4])
    images = []
    for number, name in enumerate(names, start=1):
        local = cloud - [0.1 * number, 0, 0]
        pixels = 300 * local[:, :2] / local[:, 2:] + [160, 120]
        images.append(f"{number} 1 0 0 0 {-0.1 * number} 0 0 1 {name}")
        seen = " ".join(f"{x} {y} {row + 1}" for row, (x, y) in enumerate(pixels))
        images.append(f"{seen} 3.5 4.5 -1" if number < 4 else "")
    tracks = [" ".join(f"{number} {row}" for number in (1, 2, 3)) for row in range(POINTS)]
    (folder / "cameras.txt").write_text("# Camera list\n1 SIMPLE_PINHOLE 320 240 300 160 120\n")
    (folder / "images.txt").write_text("# Image list\n" + "\n".join(images) + "\n", encoding="utf-8")
    (folder / "points3D.txt").write_text(
        "".join(f"{row + 1} {x} {y} {z} 9 8 7 0.5 {tracks[row]}\n" for row, (x, y, z) in enumerate(cloud))
    )
    return folder


def arrays(folder: Path, scratch: Path) -> Model:
    scratch.mkdir()
    assert copy_model(folder, scratch) == 4
    assert registered_in(scratch) == sorted(NAMES)
    return read_model(scratch, {name: row for row, name in enumerate(NAMES)})


def every_file(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for file in folder.iterdir():
            file.write_bytes(change(file.read_bytes()))

    return apply


def lines(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text("\n".join(change(text.splitlines())) + "\n", encoding="utf-8")

    return apply


def each(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Change the words of every line that is no comment."""
    return lines(name, lambda all_of: [one if one[:1] == "#" else " ".join(change(one.split(" "))) for one in all_of])


_WAYS: dict[str, Callable[[Path], None]] = {
    "as it is": lambda folder: None,
    "Windows lines": every_file(lambda content: content.replace(b"\n", b"\r\n")),
    "old Mac lines": every_file(lambda content: content.replace(b"\n", b"\r")),
    "byte-order mark": every_file(lambda content: codecs.BOM_UTF8 + content),
    "UTF-16": every_file(lambda content: content.decode().encode("utf-16")),
    "without comments": lines("images.txt", lambda all_of: all_of[1:]),
    "comments between": lines("images.txt", lambda all_of: [*all_of[:3], "# another", *all_of[3:], "# end"]),
    "no line of 2D points where there are none": lines("images.txt", lambda all_of: all_of[:-1]),
    "empty lines between": lines("images.txt", lambda all_of: [*all_of[:3], "", *all_of[3:5], "", *all_of[5:], ""]),
    "blanks at the ends": lines(
        "images.txt", lambda all_of: [one if one[:1] == "#" else f" {one}  " for one in all_of]
    ),
    "tabs": lines("points3D.txt", lambda all_of: [one.replace(" ", "\t") for one in all_of]),
    "ids of 64 bits for none": each(
        "images.txt", lambda words: ["18446744073709551615" if w == "-1" else w for w in words]
    ),
    "numbers of another program": each(
        "images.txt", lambda words: ["1.0e+000" if w == "1" and n == 1 else w for n, w in enumerate(words)]
    ),
    "tracks left out": each("points3D.txt", lambda words: words[:8]),
    "colours as real numbers": each("points3D.txt", lambda words: [*words[:4], "9.0", "8.0", "7.0", *words[7:]]),
}


@pytest.mark.parametrize("how", _WAYS)
def test_every_way_gives_the_same_model(how: str, tmp_path: Path) -> None:
    wanted = arrays(write(tmp_path / "plain"), tmp_path / "wanted")
    assert wanted.observations.shape == (3 * POINTS, 2)
    changed = write(tmp_path / "changed")
    _WAYS[how](changed)
    found = arrays(changed, tmp_path / "found")
    for name in Model.__dataclass_fields__:
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


def test_the_text_of_colmap_itself(tmp_path: Path) -> None:
    """With its own rigs.txt and frames.txt."""
    wanted = arrays(write(tmp_path / "plain"), tmp_path / "wanted")
    (tmp_path / "text").mkdir()
    Reconstruction(str(tmp_path / "wanted")).write_text(str(tmp_path / "text"))
    assert (tmp_path / "text" / "frames.txt").exists()
    found = arrays(tmp_path / "text", tmp_path / "found")
    assert np.array_equal(found.observations, wanted.observations)
    assert np.allclose(found.translation, wanted.translation)


def test_2d_points_left_out_are_made_from_tracks(tmp_path: Path) -> None:
    """As programs do that have their points from elsewhere; their places are those of the 3D points in the photo."""
    plain = write(tmp_path / "plain")
    wanted = arrays(plain, tmp_path / "wanted")
    for left in ([""] * 4, []):
        bare = write(tmp_path / f"bare{len(left)}")
        images = (bare / "images.txt").read_text(encoding="utf-8").splitlines()[1::2]
        kept = [line for pair in zip(images, left, strict=True) for line in pair] if left else images
        (bare / "images.txt").write_text("\n".join(kept) + "\n", encoding="utf-8")
        found = arrays(bare, tmp_path / f"found{len(left)}")
        assert np.array_equal(found.observations, wanted.observations)
        places = {name: xy for name, _, xy in observations(Reconstruction(str(tmp_path / f"found{len(left)}")))}
        for name, _, xy in observations(Reconstruction(str(tmp_path / "wanted"))):
            assert np.allclose(places[name], xy, atol=1e-6)


def test_cameras_only(tmp_path: Path) -> None:
    """Known poses without any point, as COLMAP's own questions and answers describe them."""
    bare = write(tmp_path / "bare")
    images = (bare / "images.txt").read_text(encoding="utf-8").splitlines()[1::2]
    (bare / "images.txt").write_text("\n\n".join(images) + "\n\n", encoding="utf-8")
    (bare / "points3D.txt").write_text("")
    found = arrays(bare, tmp_path / "found")
    assert found.points.shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("images.txt", "2 1 0 0 0 ", "two 1 0 0 0 ", "images.txt:4 is neither an image"),
        ("images.txt", "\n3 1 0 0 0 ", "\n2 1 0 0 0 ", "images.txt:6 gives the id 2 to a second image"),
        ("points3D.txt", "9 8 7 0.5", "red 8 7 0.5", "points3D.txt:1 is not a 3D point"),
        ("points3D.txt", "1 0 2 0 3 0", "1 0 2 0 9 0", "seen in image 9 at 2D point 0"),
        ("points3D.txt", "1 0 2 0 3 0", "1 0 2 0 3 77", "seen in image 3 at 2D point 77"),
        ("points3D.txt", "1 0 2 0 3 0", "1 0 2 0 4 -1", "seen in image 4 at 2D point -1"),
        ("points3D.txt", "1 0 2 0 3 0", "1 0 2 0 4 999999999999", "seen in image 4 at 2D point 999999999999"),
        ("images.txt", "été", "caf\udce9", "images.txt is not UTF-8 (byte e9 in line 6)"),
        ("images.txt", "4 5 6.jpg", "./a.jpg", "holds photo 'a.jpg' twice"),
    ],
)
def test_what_is_no_model_is_one_sentence(name: str, old: str, new: str, says: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_bytes(text.replace(old, new, 1).encode(errors="surrogateescape"))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError) as refused:
        copy_model(folder, tmp_path / "out", lambda photo: photo.removeprefix("./"))
    assert says in str(refused.value)


def test_binary_names_that_are_not_utf8_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "binary").mkdir()
    copy_model(write(tmp_path / "text"), tmp_path / "binary")
    content = (tmp_path / "binary" / "images.bin").read_bytes()
    (tmp_path / "binary" / "images.bin").write_bytes(content.replace("été".encode(), b"\xe9tet."))
    with pytest.raises(UserError, match=r"images\.bin names photos in another encoding"):
        copy_model(tmp_path / "binary", tmp_path / "out")
