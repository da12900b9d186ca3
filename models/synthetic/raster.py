"""Paints rounded solids into a picture with a depth buffer: tapered capsules, ellipsoids and flat ellipses.

Coordinates are pixels: x right, y down, z towards the camera. A solid is painted within its own screen box: for every
pixel the distance to its axis gives depth and normal, these the light. Everything is compiled by numba, in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

CAPSULE = 22
"""Columns of a capsule: ends and radii (x y z r, twice), colour of the pad's side (3), colour of the back (3), the pad's
direction (3), gloss; then unused places up to this width."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _lit(
    picture: FloatArray, depth: FloatArray, row: int, column: int, z: float, colour: FloatArray, normal: FloatArray,
    cover: float, light: FloatArray, gloss: float,
) -> None:  # fmt: skip
    """Shades one pixel; light: direction (3), ambient, diffuse, colour (3)."""
    facing = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]
    soft = 0.5 + 0.5 * facing
    bright = light[3] + light[4] * soft * soft
    rim = 0.62 + 0.38 * normal[2]
    shine = 0.0
    if gloss > 0.0:
        mirrored = 2.0 * facing * normal[2] - light[2]
        if mirrored > 0.0:
            shine = mirrored * mirrored * mirrored
            shine = gloss * shine * shine * shine
    for k in range(3):
        value = colour[k] * bright * rim * light[5 + k] + shine * 255.0
        if cover < 1.0:
            value = cover * value + (1.0 - cover) * picture[row, column, k]
        picture[row, column, k] = value
    if cover > 0.5:
        depth[row, column] = z


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def capsules(picture: FloatArray, depth: FloatArray, solids: FloatArray, light: FloatArray) -> None:
    """Paints sphere-swept tapered capsules, rows of `solids` (N, CAPSULE)."""
    height, width = depth.shape
    normal = np.empty(3, np.float32)
    colour = np.empty(3, np.float32)
    for solid in solids:
        x0, y0, z0, r0, x1, y1, z1, r1 = solid[0], solid[1], solid[2], solid[3], solid[4], solid[5], solid[6], solid[7]
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        left, right = max(0, int(min(x0 - r0, x1 - r1)) - 1), min(width, int(max(x0 + r0, x1 + r1)) + 2)
        top, bottom = max(0, int(min(y0 - r0, y1 - r1)) - 1), min(height, int(max(y0 + r0, y1 + r1)) + 2)
        for row in range(top, bottom):
            for column in range(left, right):
                px, py = column - x0, row - y0
                t = 0.0
                if length > 1e-6:
                    t = min(1.0, max(0.0, (px * dx + py * dy) / length))
                r = r0 + t * (r1 - r0)
                ox, oy = px - t * dx, py - t * dy
                away = ox * ox + oy * oy
                if away >= (r + 0.5) * (r + 0.5):
                    continue
                reach = math.sqrt(away)
                cover = min(1.0, r + 0.5 - reach)
                up = math.sqrt(max(0.0, r * r - away))
                z = z0 + t * (z1 - z0) + up
                if z <= depth[row, column]:
                    continue
                scale = 1.0 / max(r, 0.3)
                normal[0], normal[1], normal[2] = ox * scale, oy * scale, up * scale
                pad = 0.5 + 0.5 * (normal[0] * solid[14] + normal[1] * solid[15] + normal[2] * solid[16])
                pad = min(1.0, max(0.0, 1.6 * pad - 0.3))
                for k in range(3):
                    colour[k] = pad * solid[8 + k] + (1.0 - pad) * solid[11 + k]
                _lit(picture, depth, row, column, z, colour, normal, cover, light, solid[17])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def ellipsoid(
    picture: FloatArray, depth: FloatArray, centre: FloatArray, radii: FloatArray, roll: float, colour: FloatArray,
    stripe: FloatArray, light: FloatArray, gloss: float,
) -> None:  # fmt: skip
    """Paints an ellipsoid turned by `roll` in the picture; stripe: period in pixels (0: none), share, colour (3)."""
    height, width = depth.shape
    normal = np.empty(3, np.float32)
    own = np.empty(3, np.float32)
    c, s = math.cos(roll), math.sin(roll)
    reach = max(radii[0], radii[1]) + 2.0
    left, right = max(0, int(centre[0] - reach)), min(width, int(centre[0] + reach) + 2)
    top, bottom = max(0, int(centre[1] - reach)), min(height, int(centre[1] + reach) + 2)
    soft = 1.0 / min(radii[0], radii[1])
    for row in range(top, bottom):
        for column in range(left, right):
            px, py = column - centre[0], row - centre[1]
            u, v = (c * px + s * py) / radii[0], (c * py - s * px) / radii[1]
            q = u * u + v * v
            if q >= 1.0 + soft:
                continue
            up = math.sqrt(max(0.0, 1.0 - q))
            z = centre[2] + radii[2] * up
            if z <= depth[row, column]:
                continue
            nu, nv, nz = u / radii[0], v / radii[1], max(up, 0.05) / radii[2]
            size = 1.0 / math.sqrt(nu * nu + nv * nv + nz * nz)
            normal[0], normal[1], normal[2] = (c * nu - s * nv) * size, (s * nu + c * nv) * size, nz * size
            for k in range(3):
                own[k] = colour[k]
            if stripe[0] > 0.0 and (row % stripe[0]) < stripe[0] * stripe[1]:
                for k in range(3):
                    own[k] = stripe[2 + k]
            cover = min(1.0, (1.0 + soft - q) / (2.0 * soft) + 0.5) if q > 1.0 - soft else 1.0
            _lit(picture, depth, row, column, z, own, normal, cover, light, gloss)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def flat_ellipse(
    picture: FloatArray, depth: FloatArray, centre: FloatArray, radii: FloatArray, roll: float, colour: FloatArray,
    slack: float, strength: float,
) -> None:  # fmt: skip
    """Paints an ellipse on whatever lies there, unless that is nearer than the ellipse by `slack` pixels.

    `radii` may bend it: radii[2] pixels that its ends lie higher than its middle (a smile, a brow).
    """
    height, width = depth.shape
    c, s = math.cos(roll), math.sin(roll)
    reach = max(radii[0], radii[1]) + abs(radii[2]) + 2.0
    left, right = max(0, int(centre[0] - reach)), min(width, int(centre[0] + reach) + 2)
    top, bottom = max(0, int(centre[1] - reach)), min(height, int(centre[1] + reach) + 2)
    rx, ry = max(radii[0], 0.3), max(radii[1], 0.3)
    soft = 0.8 / min(rx, ry)
    for row in range(top, bottom):
        for column in range(left, right):
            if depth[row, column] > centre[2] + slack:
                continue
            px, py = column - centre[0], row - centre[1]
            along = c * px + s * py
            u = along / rx
            v = (c * py - s * px + radii[2] * u * u) / ry
            q = math.sqrt(u * u + v * v)
            cover = strength * min(1.0, max(0.0, (1.0 - q) / soft + 0.5))
            if cover <= 0.0:
                continue
            for k in range(3):
                picture[row, column, k] = cover * colour[k] + (1.0 - cover) * picture[row, column, k]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def finish(
    picture: FloatArray, noise: FloatArray, top: int, left: int, strength: float, out: NDArray[np.uint8]
) -> None:
    """Adds noise from a larger tile, from its place (top, left) on, and rounds to uint8."""
    height, width = out.shape[0], out.shape[1]
    for row in range(height):
        for column in range(width):
            grain = strength * noise[row + top, column + left]
            for k in range(3):
                value = picture[row, column, k] + grain
                value = np.float32(255.0) if value > 255 else (np.float32(0.0) if value < 0 else value)
                out[row, column, k] = np.int32(value)
