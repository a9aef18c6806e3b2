"""A folder of made-up holiday photos: rendered places, photos without a partner, a duplicate, a broken file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from hashpipe.common.files import atomic_path, make_folder
from hashpipe.common.progress import Advance, stage
from hashpipe.common.workers import thread_pool
from hashpipe.pairgen.synthetic.render import Stage, View, render, viewpoints
from hashpipe.pairgen.synthetic.scenes import make_scene

_CAMERAS = (("Canon", "EOS 80D"), ("Apple", "iPhone 8"), ("Panasonic", "DMC-FZ200"), ("samsung", "SM-G960F"))


@dataclass(frozen=True)
class DemoTruth:
    """What was put into a demo folder. Keys are file names.

    place         every readable photo's place, -1 for those without a partner
    duplicate_of  file names of byte-identical copies and their originals
    broken        files that cannot be read
    """

    place: dict[str, int]
    duplicate_of: dict[str, str]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    seed: int
    place: int
    views: int
    detail: float


def write_demo_photos(
    folder: Path,
    places: int = 8,
    views: int = 12,
    distractors: int = 16,
    size: tuple[int, int] = (560, 420),
    seed: int = 0,
    detail: float = 1.0,
) -> DemoTruth:
    """Render `places` places from `views` viewpoints each, and `distractors` lone photos, into one flat folder.

    `size` is (width, height) of a landscape photo in pixels; `detail` scales the texture resolution. The same arguments
    give the same files. File names say nothing about places.
    """
    folder = make_folder(Path(folder))
    rng = np.random.default_rng([seed, 4])
    jobs = [_Job(seed * 1000 + p, p, views, detail) for p in range(places)]
    jobs += [_Job(seed * 1000 + 500 + d, -1, 1, detail * 0.6) for d in range(distractors)]
    total = places * views + distractors
    names = list(_names(rng, total + 2))
    order = rng.permutation(total)
    truth: dict[str, int] = {}
    with stage("Rendering photos", total, "photos") as advance, thread_pool(2) as pool:
        done = 0
        for job, files in zip(jobs, pool.map(lambda job: list(_shoot(job, size, advance)), jobs), strict=True):
            for content in files:
                name = names[order[done]]
                truth[name] = job.place
                _write(folder / name, content)
                done += 1
    copied = names[order[0]] if total else None
    duplicates = {}
    if copied:
        _write(folder / names[total], (folder / copied).read_bytes())
        duplicates[names[total]] = copied
        _write(folder / names[total + 1], (folder / copied).read_bytes()[:900])
        return DemoTruth(truth, duplicates, (names[total + 1],))
    return DemoTruth(truth, duplicates, ())


def _shoot(job: _Job, size: tuple[int, int], advance: Advance) -> Iterator[bytes]:
    """Photos of one place as encoded files."""
    rng = np.random.default_rng([job.seed, 5])
    ready = Stage(make_scene(job.seed, detail=job.detail * max(size) / 640), job.seed)
    cameras = viewpoints(job.seed, job.views, size)
    start = datetime(2019, 4, 1, 10) + timedelta(days=int(rng.integers(900)), minutes=int(rng.integers(400)))
    phone = _CAMERAS[rng.integers(len(_CAMERAS))]
    for i in range(job.views):
        if rng.random() < 0.3:  # another visitor
            phone = _CAMERAS[rng.integers(len(_CAMERAS))]
        view = render(ready, cameras[i])
        taken = start + timedelta(seconds=47 * i)
        yield encode_photo(develop(view.rgb, rng), view, rng, phone, taken)
        advance(1)


def develop(rgb: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """What lens and sensor do to a clean picture uint8 (h,w,3): vignette, exposure, white balance, blur, noise."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - rng.uniform(0.03, 0.14) * (x * x + y * y)
    balance = np.exp(rng.normal(0, 0.035, 3)) * np.exp(rng.normal(0, 0.12))
    pixels = 255 * (np.clip(rgb / 255 * balance, 0, 1) ** rng.uniform(0.88, 1.12)) * vignette[..., None]
    soft = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    soft = soft.filter(ImageFilter.GaussianBlur(max(width, height) / 400 * float(rng.uniform(0.95, 1.15))))
    grain = rng.standard_normal(rgb.shape, dtype=np.float32) * float(rng.uniform(1.0, 3.0))
    return Image.fromarray(np.clip(np.asarray(soft, np.float32) + grain, 0, 255).astype(np.uint8))


def encode_photo(
    picture: Image.Image, view: View, rng: np.random.Generator, phone: tuple[str, str], taken: datetime
) -> bytes:
    """JPEG with EXIF; upright pictures are often stored lying down with an orientation tag, as phones do."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = phone
    camera = view.camera
    if picture.height > picture.width and rng.random() < 0.7:
        tag, turn = ((6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270))[int(rng.integers(2))]
        picture = picture.transpose(turn)
        exif[0x0112] = tag
    details = exif.get_ifd(0x8769)
    details[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    details[0xA405] = round(36 * camera.K[0, 0] / max(camera.size))  # focal length in 35 mm film
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(85, 93)), exif=exif)
    return buffer.getvalue()


def _names(rng: np.random.Generator, count: int) -> Iterator[str]:
    """Distinct meaningless file names, some awkward."""
    awkward = ["holiday snap 3.jpg", "фото 17.jpg", "広場.JPG", "it's here.jpeg"]
    numbers = rng.permutation(9000)[:count] + 1000
    for i in range(count):
        n = int(numbers[i])
        if i % 29 == 7 and awkward:
            yield awkward.pop(0)
        else:
            yield (f"IMG_{n}.jpg", f"DSC0{n}.JPG", f"P10{n}.jpg", f"2021_{n}.jpeg")[i % 4]


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
