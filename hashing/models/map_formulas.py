"""How heads that read feature maps (N,C,g,g) are computed, in NumPy, torch and the exported graph (see formulas.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hashpipe.hashing.models.formulas import linear, unit

SHARPNESS = 10.0  # of the assignment to anchors
GROUP = 8  # bits of `pyramid` that come together: 4 of the whole photo, 1 of each quarter
FIRST, QUARTERS = 4, 4


def _positions(x: Any) -> Any:
    """(N,C,g,g) -> (N,C,P)."""
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])


def attention(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """`linear` on a mean over positions, as a unit vector: maps (N,C,g,g) -> (N,k); attend (C,), others as `linear`.

    A position weighs softmax(maps . attend) over all positions: where attend is 0, all weigh the same.
    """
    positions = _positions(x)
    share = ops.softmax(a["attend"][None] @ positions, -1)  # (N,1,P)
    mean = (positions @ share.swapaxes(1, 2))[:, :, 0]
    return linear(a, mean / ops.sqrt((mean * mean).sum(1)[:, None] + 1e-24), ops)


def spatial(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """`linear` on `spatially_pooled` maps; kernel (2,3,3), others as `linear`."""
    return linear(a, spatially_pooled(a["kernel"], x, ops), ops)


def spatially_pooled(kernel: Any, x: Any, ops: Any) -> Any:
    """Maps (N,C,g,g) times their `spatial_map`, after a 3 x 3 maximum; then GeM with p = 3: unit rows (N,C)."""
    around = _around(x, True, ops)
    highest = around[0]
    for one in around[1:]:
        highest = ops.maximum(highest, one)
    return weighed_by_space(kernel, highest, ops)


def weighed_by_space(kernel: Any, highest: Any, ops: Any) -> Any:
    """`spatially_pooled` of maps that went through the 3 x 3 maximum: (N,C,g,g) -> (N,C)."""
    attended = highest * spatial_map(kernel, highest, ops)[:, None]
    return gem(attended, ops)


def gem(x: Any, ops: Any) -> Any:
    """Generalised mean of maps over positions with p = 3, as unit rows: (N,C,g,g) -> (N,C)."""
    return unit(((ops.relu(x) + 1e-6) ** 3).mean((2, 3)) ** (1 / 3), ops)


def spatial_map(kernel: Any, x: Any, ops: Any) -> Any:
    """How much each position counts, (N,C,g,g) -> (N,g,g) in (0,1).

    The sigmoid of a 3 x 3 convolution, kernel (2,3,3), without bias, of the mean over channels and their maximum.
    """
    both = ops.stack([x.mean(1), ops.amax(x, 1)], 1)
    around = _around(both, False, ops)
    weighed = [one * kernel[:, at // 3, at % 3][:, None, None] for at, one in enumerate(around)]
    return ops.sigmoid(sum(weighed[1:], weighed[0]).sum(1))


def _around(x: Any, edges: bool, ops: Any) -> list[Any]:
    """The nine neighbours of each position, itself the fifth; beyond the border the edge again, or 0."""
    share = 1.0 if edges else 0.0
    x = ops.concatenate([x[:, :, :1] * share, x, x[:, :, -1:] * share], 2)
    x = ops.concatenate([x[:, :, :, :1] * share, x, x[:, :, :, -1:] * share], 3)
    parts = (slice(None, -2), slice(1, -1), slice(2, None))
    return [x[:, :, rows, columns] for rows in parts for columns in parts]


def parts(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """u = sum_a (f_a - mean) parts_a + bias, of the descriptors f of `attended_parts`; parts (A+1,C,k).

    attend (C,A), attend_bias (A,), mean (C,), bias (k,).
    """
    pooled = attended_parts(part_maps(a, x, ops), x, ops) - a["mean"]
    return (pooled.swapaxes(0, 1) @ a["parts"]).sum(0) + a["bias"]


def part_maps(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """Where each of A parts is: max(attend . x + attend_bias, 0), (N,C,g,g) -> (N,A,P)."""
    return ops.relu(a["attend"].T @ _positions(x) + a["attend_bias"][:, None])


def attended_parts(maps: Any, x: Any, ops: Any) -> Any:
    """Unit descriptors (N,A+1,C): the mean over all positions, then that of each part, maps (N,A,P)."""
    weights = ops.concatenate([maps[:, :1] * 0 + 1, maps], 1)
    return unit(weights @ _positions(x).swapaxes(1, 2), ops)


def vlad(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """u = max(v transform + transform_bias, 0) outer + bias, v the `residuals` of all positions against anchors (A,r).

    Positions are unit vectors less mean (C,), times project (C,r), again of unit length; transform (A r,m), outer
    (m,k).
    """
    return vlad_layers(a, local_residuals(a, x, ops), ops)


def local_residuals(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """The residuals that `vlad` reads, (N,C,g,g) -> (N,A r): nothing in them learns."""
    local = unit((unit(_positions(x).swapaxes(1, 2), ops) - a["mean"]) @ a["project"], ops)
    return residuals(local, a["anchors"], SHARPNESS, ops)


def vlad_layers(a: Mapping[str, Any], found: Any, ops: Any) -> Any:
    """The two layers of `vlad` on residuals (N,A r) -> (N,k)."""
    return ops.relu(found @ a["transform"] + a["transform_bias"]) @ a["outer"] + a["bias"]


def residuals(local: Any, anchors: Any, sharpness: float, ops: Any) -> Any:
    """Sums over positions of what parts them from the anchors they are near: (N,P,r) -> unit rows (N,A r).

    local and anchors (A,r) have unit rows. A position belongs to anchor m by softmax(-sharpness |x - a_m|^2); the sum
    of each anchor is made a unit vector, then all together.
    """
    share = ops.softmax(2 * sharpness * (local @ anchors.T), -1)  # of unit vectors |x - a|^2 = 2 - 2 x.a
    sums = share.swapaxes(1, 2) @ local - share.sum(1)[:, :, None] * anchors
    return unit(unit(sums, ops).reshape(-1, anchors.shape[0] * anchors.shape[1]), ops)


def views(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """u = tanh((f - mean) first + (m - mean) second + hidden_bias) outer + bias, f and m the `two_views` of maps.

    first and second (C,n), hidden_bias (n,), outer (n,k): units that see one view alone have zeros for the other.
    """
    one, other = two_views(x, ops)
    inside = (one - a["mean"]) @ a["first"] + (other - a["mean"]) @ a["second"] + a["hidden_bias"]
    return ops.tanh(inside) @ a["outer"] + a["bias"]


def two_views(x: Any, ops: Any) -> tuple[Any, Any]:
    """Two descriptors of one map, unit rows (N,C) each: its generalised mean and its maximum over positions."""
    return gem(x, ops), unit(ops.amax(x, (2, 3)), ops)


def pyramid(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """Of every eight bits four come from the whole photo and one from each quarter: u = (f_bin - mean) bins + bias.

    f: the `pyramid_bins` of maps (N,C,g,g); mean (C,), bins (C,k), bias (k,), k a multiple of 8.
    """
    return pyramid_layer(a, pyramid_bins(x, ops), ops)


def pyramid_layer(a: Mapping[str, Any], found: Sequence[Any], ops: Any) -> Any:
    """`pyramid` on its five bins, (N,C) each -> (N,k)."""
    weight = a["bins"].reshape(a["bins"].shape[0], -1, GROUP)
    whole = ((found[0] - a["mean"]) @ weight[:, :, :FIRST].reshape(weight.shape[0], -1)).reshape(
        -1, weight.shape[1], FIRST
    )
    quarters = [((found[1 + n] - a["mean"]) @ weight[:, :, FIRST + n])[:, :, None] for n in range(QUARTERS)]
    u = ops.concatenate([whole, *quarters], 2)
    return u.reshape(-1, weight.shape[1] * GROUP) + a["bias"]


def pyramid_bins(x: Any, ops: Any) -> list[Any]:
    """Maxima over the whole map and over its four quarters, as unit rows (N,C); of 7 positions a quarter has 4."""
    half = (x.shape[2] + 1) // 2
    rows = [x[:, :, :half], x[:, :, -half:]]
    quarters = [part for row in rows for part in (row[:, :, :, :half], row[:, :, :, -half:])]
    return [unit(ops.amax(one, (2, 3)), ops) for one in (x, *quarters)]
