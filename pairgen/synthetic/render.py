"""Pictures of procedural places, by open3d's ray caster on the CPU with no display. For the demo and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hashpipe.pairgen.synthetic.mesh import Scene
from hashpipe.pairgen.synthetic.scenes import make_scene
from hashpipe.pairgen.synthetic.textures import noise

_SKY_TINT = np.array([0.9, 0.97, 1.08], np.float32)
_SUN_TINT = np.array([1.08, 1.0, 0.88], np.float32)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; x_pixel = K (R x_world + t), y downwards, pixel centres at .5 (COLMAP's convention).

    K float64 (3,3) pixels; R float64 (3,3) and t float64 (3,) world to camera, metres; size (width, height) pixels.
    """

    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    size: tuple[int, int]

    @property
    def center(self) -> np.ndarray:
        return -self.R.T @ self.t


@dataclass(frozen=True)
class View:
    """A rendered picture: rgb uint8 (h,w,3); depth float32 (h,w), metres along the optical axis, inf = sky."""

    rgb: np.ndarray
    depth: np.ndarray
    camera: Camera

    def surface(self) -> np.ndarray:
        """World points at the centres of the pixels that show a surface, float64 (n,3)."""
        rows, columns = np.nonzero(np.isfinite(self.depth))
        pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
        local = np.linalg.inv(self.camera.K) @ pixels * self.depth[rows, columns]
        return (self.camera.R.T @ (local - self.camera.t[:, None])).T


def look_at(
    center: np.ndarray, target: np.ndarray, *, focal: float, size: tuple[int, int], roll: float = 0.0
) -> Camera:
    """A camera at `center` that looks at `target`; `focal` in image widths, `roll` in radians."""
    forward = (target - center) / np.linalg.norm(target - center)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    R = np.stack([np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right, forward])
    width, height = size
    pixels = focal * max(width, height)
    K = np.array([[pixels, 0, width / 2], [0, pixels, height / 2], [0, 0, 1.0]])
    return Camera(K, R, -R @ center, size)


def viewpoints(seed: int, count: int, size: tuple[int, int]) -> list[Camera]:
    """`count` cameras on an arc round the middle of a place: near and far, different focal lengths, a little roll."""
    rng = np.random.default_rng([seed, 2])
    reach = min(0.72, 0.075 * (count - 1))  # radians either side: neighbours stay close enough to match
    cameras = []
    for i, azimuth in enumerate(np.linspace(-reach, reach, count)):
        azimuth = azimuth + rng.uniform(-0.04, 0.04)
        distance = (11.0, 12.5, 10.0, 14.0)[i % 4] * rng.uniform(0.95, 1.05)
        target = np.array([rng.uniform(-0.8, 0.8), 0.5, rng.uniform(2.3, 3.1)])
        center = np.array([distance * np.sin(azimuth), -distance * np.cos(azimuth), rng.uniform(1.5, 3.2)])
        portrait = size[::-1] if rng.random() < 0.17 else size
        focal = rng.uniform(0.78, 1.0)
        cameras.append(look_at(center, target, focal=focal, size=portrait, roll=rng.normal(0, 0.025)))
    return cameras


class Stage:
    """A scene ready for ray casting: acceleration structure, and its paintings as one array with mip levels."""

    def __init__(self, scene: Scene, seed: int) -> None:
        import open3d as o3d

        vertices = np.concatenate(scene.vertices).astype(np.float32)
        triangles = np.concatenate(scene.triangles).astype(np.uint32)
        self._o3d: Any = o3d
        self._caster = o3d.t.geometry.RaycastingScene()
        self._caster.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(triangles))
        self._uv = np.concatenate(scene.uv)
        self._material = np.concatenate(scene.material)
        self._density = np.array(scene.density, np.float32)
        self._texels, self._level = _mip_levels(scene.paintings)
        self.sun = scene.sun
        self.clouds = noise(np.random.default_rng([seed, 3]), 128, 256, cells=4, persistence=0.5)

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
        rays = np.concatenate([np.broadcast_to(origins, directions.shape), directions], axis=-1).astype(np.float32)
        hits = self._caster.cast_rays(self._o3d.core.Tensor(rays))
        return {name: value.numpy() for name, value in hits.items()}

    def lit(self, points: np.ndarray) -> np.ndarray:
        """Which points float (n,3) the sun reaches."""
        toward = np.broadcast_to(self.sun, points.shape)
        rays = np.concatenate([points + 0.02 * toward, toward], axis=-1).astype(np.float32)
        return ~self._caster.test_occlusions(self._o3d.core.Tensor(rays)).numpy()

    def paint(self, triangle: np.ndarray, barycentric: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Colours uint8 (n,3) of hit points; `footprint` is the width of a ray there in metres."""
        u, v = barycentric[:, :1], barycentric[:, 1:]
        corners = self._uv[triangle]
        position = corners[:, 0] + u * (corners[:, 1] - corners[:, 0]) + v * (corners[:, 2] - corners[:, 0])
        material = self._material[triangle]
        level = np.log2(np.maximum(footprint * self._density[material], 1)).round().astype(np.int32)
        level = np.minimum(level, self._level.shape[1] - 1)
        offset, height, width = self._level[material, level].T
        column = np.clip((position[:, 0] + 0.5).astype(np.int32) >> level, 0, width - 1)
        row = np.clip((position[:, 1] + 0.5).astype(np.int32) >> level, 0, height - 1)
        return self._texels[offset + row * width + column]


def _mip_levels(paintings: list[np.ndarray], levels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """All paintings at halved sizes: texels uint8 (n,3) and (offset, height, width) int32 (materials, levels, 3)."""
    texels, table, offset = [], np.zeros((len(paintings), levels, 3), np.int32), 0
    for m, picture in enumerate(paintings):
        current = picture
        for i in range(levels):
            table[m, i] = offset, *current.shape[:2]
            texels.append(current.reshape(-1, 3))
            offset += len(texels[-1])
            if min(current.shape[:2]) >= 2:
                rows, columns = (n // 2 * 2 for n in current.shape[:2])
                four = current[:rows, :columns].astype(np.uint16)
                four = four[::2, ::2] + four[1::2, ::2] + four[::2, 1::2] + four[1::2, 1::2]
                current = (four // 4).astype(np.uint8)
    return np.concatenate(texels), table


def render(stage: Stage, camera: Camera) -> View:
    """One clean picture (no lens, sensor or exposure effects).

    Rays pass the centres and the corners of the pixels; a pixel is half its centre, half the mean of its corners.
    """
    rays = _rays(camera, 0.5)
    hits = stage.cast(camera.center, rays)
    light = _light(stage, camera.center, rays, hits)
    middle = _colour(stage, camera, rays, hits, light)
    rays = _rays(camera, 0.0)
    around = _quarters(np.pad(light, ((1, 1), (1, 1), (0, 0)), mode="edge"))
    corner = _colour(stage, camera, rays, stage.cast(camera.center, rays), around)
    picture = 0.5 * middle + 0.5 * _quarters(corner)
    return View(np.clip(picture, 0, 255).astype(np.uint8), hits["t_hit"], camera)


def _quarters(grid: np.ndarray) -> np.ndarray:
    """Mean of each 2 x 2 neighbourhood: (h,w,3) to (h-1,w-1,3)."""
    pairs = grid[:-1] + grid[1:]
    return (pairs[:, :-1] + pairs[:, 1:]) / 4


def _rays(camera: Camera, at: float) -> np.ndarray:
    """Directions float32 (rows, columns, 3) in the world, with z = 1 in the camera: the ray's length is the depth.

    `at` 0.5: through the pixel centres, (h,w); 0: through the corners, (h+1,w+1).
    """
    width, height = camera.size
    x = (np.arange(at, width + 1 - at) - camera.K[0, 2]) / camera.K[0, 0]
    y = (np.arange(at, height + 1 - at) - camera.K[1, 2]) / camera.K[1, 1]
    R = camera.R.astype(np.float32)
    return x.astype(np.float32)[None, :, None] * R[0] + (y.astype(np.float32)[:, None] * R[1] + R[2])[:, None]


def _light(stage: Stage, origin: np.ndarray, rays: np.ndarray, hits: dict[str, np.ndarray]) -> np.ndarray:
    """Light float32 (h,w,3) from sky and sun where the rays hit."""
    seen = np.isfinite(hits["t_hit"])
    light = np.full(rays.shape, 0.8, np.float32)
    ray, normal = rays[seen], hits["primitive_normals"][seen]
    normal = normal * -np.sign(np.einsum("ij,ij->i", normal, ray))[:, None]
    sun = np.maximum(normal @ stage.sun.astype(np.float32), 0)
    points = origin.astype(np.float32) + ray * hits["t_hit"][seen][:, None]
    sun[sun > 0] *= stage.lit(points[sun > 0])
    light[seen] = (0.5 + 0.12 * normal[:, 2:]) * _SKY_TINT + 0.72 * sun[:, None] * _SUN_TINT
    return light


def _colour(
    stage: Stage, camera: Camera, rays: np.ndarray, hits: dict[str, np.ndarray], light: np.ndarray
) -> np.ndarray:
    """Colours float32 (h,w,3), 0-255, of what the rays hit."""
    seen = np.isfinite(hits["t_hit"])
    ray, distance = rays[seen], hits["t_hit"][seen]
    facing = np.einsum("ij,ij->i", hits["primitive_normals"][seen], ray) / np.linalg.norm(ray, axis=1)
    footprint = distance / (1.4 * camera.K[0, 0]) / np.sqrt(np.maximum(np.abs(facing), 0.1))
    picture = np.empty(rays.shape, np.float32)
    picture[seen] = stage.paint(hits["primitive_ids"][seen], hits["primitive_uvs"][seen], footprint) * light[seen]
    picture[~seen] = _sky(rays[~seen], stage.clouds)
    return picture


def _sky(directions: np.ndarray, clouds: np.ndarray) -> np.ndarray:
    """Blue, paler at the horizon, with soft clouds; float32 (n,3)."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    up = np.clip(unit[:, 2], 0, 1)[:, None]
    column = ((np.arctan2(unit[:, 0], unit[:, 1]) / np.pi + 1) * 127).astype(np.int32) % 256
    row = np.clip((up[:, 0] * 127).astype(np.int32), 0, 127)
    cover = np.clip(0.25 + 0.2 * clouds[row, column], 0, 0.8)[:, None]
    clear = np.array([198, 214, 230], np.float32) * (1 - up) + np.array([88, 132, 190], np.float32) * up
    return clear * (1 - cover) + 238 * cover


def render_place(
    seed: int, count: int = 12, size: tuple[int, int] = (640, 480), *, kind: str | None = None, detail: float = 1.0
) -> list[View]:
    """The place of `seed` from `count` viewpoints. The same arguments give the same pictures."""
    stage = Stage(make_scene(seed, kind=kind, detail=detail), seed)
    return [render(stage, camera) for camera in viewpoints(seed, count, size)]


def visible_fraction(i: View, j: View, tolerance: float = 0.02) -> float:
    """Share of the surface pixels of view i whose surface view j also shows (exact, from depth).

    `tolerance` is relative to the depth.
    """
    points = i.surface()
    if len(points) == 0:
        return 0.0
    local = points @ j.camera.R.T + j.camera.t
    front = local[:, 2] > 1e-6
    projected = local[front] @ j.camera.K.T
    pixel = np.floor(projected[:, :2] / projected[:, 2:]).astype(np.int64)
    width, height = j.camera.size
    inside = ((pixel >= 0) & (pixel < [width, height])).all(1)
    depth = local[front, 2][inside]
    there = j.depth[pixel[inside, 1], pixel[inside, 0]]
    return float((np.abs(there - depth) <= tolerance * depth).sum() / len(points))
