"""The only module that imports pycolmap: extract, match, verify, map, open models.

Features are found on the pictures that `photos.load_upright` returns and written to COLMAP's database under the photo's
SHA-256, so COLMAP opens no photo file: every format, orientation and file name is fine, and ids do not depend on thread
order.
"""

from __future__ import annotations

import zlib  # isort: skip  # noqa: F401  pycolmap's own zlib symbols corrupt the heap when they are loaded first

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.disk import require_space
from hashpipe.common.errors import UserError
from hashpipe.common.paths import scratch_folder
from hashpipe.common.signals import signals_kept
from hashpipe.pairgen.colmap.database import copy_features, copy_part

with signals_kept():  # its crash reporter takes SIGTERM for a crash
    import pycolmap
pycolmap.logging.minloglevel = 3

Reconstruction = pycolmap.Reconstruction  # a model, for those who must not import pycolmap
VERSION: str = pycolmap.__version__
NO_FOCAL = 1.2  # COLMAP's own guess where EXIF is silent, in units of the longest side
_extractors = threading.local()  # by number of features; each keeps state between calls, so every thread has its own


def extract_sift(gray: np.ndarray, max_features: int) -> tuple[np.ndarray, np.ndarray]:
    """SIFT of a grey picture.

    gray: uint8 (H,W). Returns keypoints float32 (n,4: x, y, scale, orientation) and RootSIFT descriptors uint8 (n,128).
    """
    mine: dict[Any, pycolmap.FeatureExtractor] = _extractors.__dict__
    if max_features not in mine:
        options = pycolmap.FeatureExtractionOptions()
        options.use_gpu, options.num_threads = False, 1
        options.sift.max_num_features = max_features
        mine[max_features] = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
    keypoints, descriptors = mine[max_features].extract_from_uint8_array(np.ascontiguousarray(gray))
    if len(descriptors.data) == 0:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
    return np.asarray(pycolmap.keypoints_to_matrix(keypoints), np.float32), np.array(descriptors.data, np.uint8)


class FeatureDatabase:
    """COLMAP's database with photos named by their SHA-256, opened to write: hold the lock of its folder.

    Use it as a context manager.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> FeatureDatabase:
        self._database = _open_database(self.path)
        self.ids: dict[str, int] = {image.name: image.image_id for image in self._database.read_all_images()}
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def add_photo(
        self, sha256: str, size: tuple[int, int], focal: float, keypoints: np.ndarray, descriptors: np.ndarray
    ) -> None:
        """Write one photo whole or not at all. `size` in pixels, `focal` in units of the longest side (0 unknown)."""
        database = self._database
        with pycolmap.DatabaseTransaction(database):
            camera = pycolmap.Camera.create_from_model_name(
                pycolmap.INVALID_CAMERA_ID, "SIMPLE_RADIAL", (focal or NO_FOCAL) * max(size), *size
            )
            camera.has_prior_focal_length = focal > 0
            image = pycolmap.Image(name=sha256, camera_id=database.write_camera(camera))
            number = database.write_image(image)
            database.write_keypoints(number, keypoints)
            features = pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, descriptors)
            database.write_descriptors(number, features)
        self.ids[sha256] = number

    def keypoints(self, sha256: str) -> np.ndarray:
        """float32 (n,4)."""
        return np.asarray(self._database.read_keypoints(self.ids[sha256]), np.float32).reshape(-1, 4)

    def descriptors(self, sha256: str) -> np.ndarray:
        """uint8 (n,128)."""
        return np.asarray(self._database.read_descriptors(self.ids[sha256]).data, np.uint8).reshape(-1, 128)

    def size(self, sha256: str) -> tuple[int, int]:
        """Width and height, in pixels, of the picture that features were found on."""
        camera = self._camera(self.ids[sha256])
        return camera.width, camera.height

    def matches(self, first: str, second: str) -> np.ndarray:
        """uint32 (m,2), rows of the keypoints of two photos."""
        return np.asarray(self._database.read_matches(self.ids[first], self.ids[second]), np.uint32).reshape(-1, 2)

    def geometry(self, first: str, second: str) -> tuple[np.ndarray, bool]:
        """Matches that fit the geometry of two photos, uint32 (k,2), and does COLMAP take them for a watermark?"""
        found = self._database.read_two_view_geometry(self.ids[first], self.ids[second])
        watermark = found.config == pycolmap.TwoViewGeometryConfiguration.WATERMARK
        return np.asarray(found.inlier_matches, np.uint32).reshape(-1, 2), watermark

    def keep_matches(self, first: str, second: str, kept: np.ndarray, seed: int, weak_inliers: int) -> None:
        """Keep some matches of two photos, uint32 (m,2), and the geometry that these alone give."""
        low, high = sorted((self.ids[first], self.ids[second]))
        kept = np.ascontiguousarray(kept if self.ids[first] < self.ids[second] else kept[:, ::-1])
        cameras = [self._camera(number) for number in (low, high)]
        points = [np.asarray(self._database.read_keypoints(number), np.float64)[:, :2] for number in (low, high)]
        found = pycolmap.estimate_two_view_geometry(
            cameras[0], points[0], cameras[1], points[1], kept, _verification(seed, weak_inliers)
        )
        with pycolmap.DatabaseTransaction(self._database):
            self._database.delete_matches(low, high)
            self._database.write_matches(low, high, kept)
            self._database.update_two_view_geometry(low, high, found)

    def _camera(self, number: int) -> pycolmap.Camera:
        return self._database.read_camera(self._database.read_image(number).camera_id)


def _open_database(path: Path) -> pycolmap.Database:
    """Raises DiskFull: of a full disk COLMAP says that no registered database factory succeeded."""
    try:
        return pycolmap.Database.open(str(path))
    except RuntimeError:
        require_space(path.parent, 0)
        raise


def write_part(path: Path, names: Sequence[str], pairs: Sequence[tuple[str, str]], part: Path) -> None:
    """Write a database of its own for one reconstruction: some photos of `path` and the geometry of their `pairs`."""
    _open_database(part).close()
    copy_part(path, names, pairs, part)


def write_features(path: Path, pairs: Sequence[tuple[str, str]], part: Path) -> None:
    """Write a database of its own for matching `pairs` of `path`."""
    _open_database(part).close()
    copy_features(path, pairs, part)


def match_pairs(path: Path, pairs: Sequence[tuple[str, str]], seed: int, weak_inliers: int) -> None:
    """Match and geometrically verify pairs of photos named in the database; pairs already there are skipped.

    A geometry of at least `weak_inliers` is kept. One thread matches: where two of one process prepare photos at once,
    now and then one comes out otherwise, and its pairs lose some or all of their matches
    (docs/decisions/0001-one-matching-thread-per-process.md). For all cores there is parallel_matching.match_pairs.
    Pairs that share photos belong together in the list.
    """
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu, matching.num_threads = False, 1
    verification = _verification(seed, weak_inliers)
    with scratch_folder() as folder:
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = str(folder / "pairs.txt")
        Path(pairing.match_list_path).write_text("".join(f"{a} {b}\n" for a, b in pairs))
        token = pycolmap.CancellationToken()
        with ThreadPoolExecutor(1) as thread:  # the main thread stays free to hear Ctrl-C
            work = thread.submit(
                pycolmap.match_image_pairs, str(path), matching, pairing, verification, pycolmap.Device.cpu, token
            )
            try:
                while not wait([work], timeout=0.5).done:
                    pass
            except BaseException:
                token.cancel()
                raise
        work.result()


def _verification(seed: int, weak_inliers: int) -> pycolmap.TwoViewGeometryOptions:
    options = pycolmap.TwoViewGeometryOptions()
    options.min_num_inliers = weak_inliers
    options.ransac.random_seed = seed
    return options


def map_photos(
    path: Path,
    names: Sequence[str],
    seed: int,
    min_inliers: int,
    min_size: int,
    initial: tuple[str, str] | None,
    gentle: bool,
    seconds: float = 0.0,
) -> list[pycolmap.Reconstruction]:
    """Incremental mapping of some photos of a database; every model of at least `min_size` photos, largest first.

    initial: the pair of photos to begin with, None lets COLMAP choose. gentle: accept small triangulation angles and
    few points, for places that the usual thresholds leave out. seconds: what it has by then is returned, 0 means no
    limit. One thread: sums over threads are not repeatable.
    """
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = 1, seed
    options.min_num_matches, options.min_model_size, options.max_num_models = min_inliers, min_size, 1000
    options.extract_colors = False
    options.image_names = list(names)
    if seconds:
        options.max_runtime_seconds = max(1, math.ceil(seconds))
    if gentle:
        options.mapper.init_min_num_inliers, options.mapper.init_min_tri_angle = 30, 1.0
        options.mapper.abs_pose_min_num_inliers = min_inliers
    if initial is not None:
        with FeatureDatabase(path) as database:
            options.init_image_id1, options.init_image_id2 = (database.ids[name] for name in initial)
    with scratch_folder() as folder:
        models = pycolmap.incremental_mapping(str(path), str(folder), str(folder), options)
    return sorted(models.values(), key=lambda model: (-model.num_reg_images(), -model.num_points3D()))


def write_global_models(path: Path, folder: Path, seed: int, min_inliers: int, min_size: int) -> None:
    """Global mapping of all photos of a database; every model of at least `min_size` photos as binary files.

    COLMAP can neither be told to stop here nor kept from ending the process on an error: see workers.run_alone.
    """
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads, options.random_seed = 1, seed
    options.min_num_matches, options.min_model_size = min_inliers, min_size
    options.mapper.num_threads, options.mapper.random_seed = 1, seed
    options.mapper.global_positioning.use_gpu = False
    options.mapper.bundle_adjustment.ceres.use_gpu = False
    pycolmap.global_mapping(str(path), str(folder), str(folder), options)


def written_models(folder: Path) -> list[pycolmap.Reconstruction]:
    """Models in the numbered folders below `folder`."""
    folders = sorted((one for one in folder.iterdir() if one.name.isdigit()), key=lambda one: int(one.name))
    return [pycolmap.Reconstruction(str(one)) for one in folders]


def open_model(folder: Path) -> pycolmap.Reconstruction:
    """A written model. Raises UserError for one that is cut or damaged."""
    try:
        return pycolmap.Reconstruction(str(folder))
    except (IndexError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{folder} is not a complete 3D model ({reason}); make the pairs again.") from None
