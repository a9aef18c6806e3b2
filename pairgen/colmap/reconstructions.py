"""Models that COLMAP made: read as arrays, counted, copied and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.paths import scratch_folder
from hashpipe.pairgen.colmap.adapter import Reconstruction, open_model
from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.colmap.text_models import is_text_model, rewrite_text_model


def registered(model: Reconstruction) -> set[str]:
    """Names of a model's registered photos."""
    return {model.image(number).name for number in model.reg_image_ids()}


def registered_in(folder: Path) -> list[str]:
    """Names of the registered photos of a written model."""
    return sorted(registered(open_model(folder)))


def point_count(folder: Path) -> int:
    """Number of 3D points of a written model."""
    return int(open_model(folder).num_points3D())


def observations(model: Reconstruction) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """For every registered photo: its name, the ids of the points it observes, and where (float64 (n,2), pixels)."""
    for number in sorted(model.reg_image_ids()):
        image = model.image(number)
        seen = [point for point in image.points2D if point.has_point3D()]
        yield (
            image.name,
            np.array([p.point3D_id for p in seen], np.int64),
            np.array([p.xy for p in seen]).reshape(-1, 2),
        )


def copy_model(source: Path, target: Path, named: Callable[[str], str] = str) -> int:
    """Read a model, binary or text, and write it to `target` as binary files; returns its number of photos.

    named: the name that a photo gets for the one that it has there. Raises UserError for names that are not UTF-8, and
    where two photos have one name.
    """
    model, names = _read_text(source) if is_text_model(source) else (Reconstruction(str(source)), None)
    taken: set[str] = set()
    for image in model.images.values():
        try:
            name = named(names[image.name] if names is not None else image.name)
        except UnicodeDecodeError:
            raise UserError(
                f"{source / 'images.bin'} names photos in another encoding than UTF-8; rename them to plain letters "
                "and make the model again."
            ) from None
        if name in taken:
            raise UserError(f"{source} holds photo {name!r} twice; leave one of them out.")
        taken.add(name)
        image.name = name
    model.write_binary(str(target))
    return int(model.num_reg_images())


def _read_text(source: Path) -> tuple[Reconstruction, dict[str, str]]:
    """A text model with coded names, and their real ones. 2D points without a place lie where the 3D ones are seen."""
    with scratch_folder() as scratch:
        names, placeless = rewrite_text_model(source, scratch)
        model = Reconstruction(str(scratch))
    for number in placeless:
        image = model.image(number)
        for point in image.points2D:
            if point.has_point3D():
                place = image.project_point(model.point3D(point.point3D_id).xyz)
                point.xy = np.zeros(2) if place is None else place
    return model, names


def shared_places(folder: Path, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Where two photos of a written model observe the same points: float64 (n,2) each, in widths and heights."""
    model = open_model(folder)
    cameras = {image.name: model.camera(image.camera_id) for image in model.images.values()}
    seen = {
        name: dict(zip(points.tolist(), places / [cameras[name].width, cameras[name].height], strict=True))
        for name, points, places in observations(model)
        if name in (first, second)
    }
    common = sorted(seen.get(first, {}).keys() & seen.get(second, {}).keys())
    a, b = (np.array([seen[name][point] for point in common]).reshape(-1, 2) for name in (first, second))
    return a, b


def write_model(model: Reconstruction, folder: Path, paths: dict[str, str], colors: dict[int, np.ndarray]) -> None:
    """Write COLMAP's binary files with photos under their real `paths` and the given point colours (uint8 RGB)."""
    for number, color in colors.items():
        model.point3D(number).color = color
    for image in model.images.values():
        image.name = paths[image.name]
    model.write_binary(str(folder))


def read_model(folder: Path, photo_ids: dict[str, int]) -> Model:
    """Read COLMAP's binary files as arrays; `photo_ids` maps a photo's path to its id. Unknown photos are left out."""
    model = open_model(folder)
    images = [model.image(number) for number in model.reg_image_ids()]
    images = sorted((image for image in images if image.name in photo_ids), key=lambda image: photo_ids[image.name])
    cameras = [model.camera(image.camera_id) for image in images]
    poses = [image.cam_from_world() for image in images]
    point_ids = sorted(model.point3D_ids())
    rows = {number: row for row, number in enumerate(point_ids)}
    points = [model.point3D(number) for number in point_ids]
    seen = [(row, rows[p.point3D_id]) for row, image in enumerate(images) for p in image.points2D if p.has_point3D()]
    return Model(
        photos=np.array([photo_ids[image.name] for image in images], np.int32),
        rotation=np.array([pose.rotation.matrix() for pose in poses]).reshape(-1, 3, 3),
        translation=np.array([pose.translation for pose in poses]).reshape(-1, 3),
        focal=np.array([camera.mean_focal_length() for camera in cameras]),
        principal=np.array([(camera.principal_point_x, camera.principal_point_y) for camera in cameras]).reshape(-1, 2),
        size=np.array([(camera.width, camera.height) for camera in cameras], np.int32).reshape(-1, 2),
        points=np.array([point.xyz for point in points]).reshape(-1, 3),
        colors=np.array([point.color for point in points], np.uint8).reshape(-1, 3),
        errors=np.array([point.error for point in points], np.float32),
        observations=np.array(seen, np.int32).reshape(-1, 2),
    )
