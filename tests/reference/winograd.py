#!/usr/bin/env python3
"""Relative L2 errors of Winograd convolutions in f32, from which `layertime verify` has its bound for them (docs/measuring.md).

F(m x m, r x r) computes m x m outputs of an r x r filter from a tile of m + r - 1, by polynomials through m + r - 2 points and infinity
(Lavin and Gray 2016). The transforms are exact here and then rounded to f32; images are ReLUs of normal numbers, and the products of all
channels are summed one after the other, which rounds more than any GPU's sums do. Needs numpy.
"""
from fractions import Fraction as F

import numpy as np

HALF, THIRD = F(1, 2), F(1, 3)
# Pairs that differ in sign, and reciprocals, round least (Barabasz et al. 2020, section 6).
POINTS = [0, 1, -1, 2, -2, HALF, -HALF, F(5, 4), -F(5, 4), THIRD, -THIRD, 4, F(3, 4), -F(3, 4), F(1, 4)]
SIZES = [(2, 3), (4, 3), (4, 5), (6, 3), (9, 5), (13, 3)]


def times(a, b):
    """The product of two polynomials, the constant first."""
    product = [F(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return product


def transforms(m, r, points):
    """The matrices of the outputs [m, n], the filter [n, r] and the image [n, n], for n = m + r - 1."""
    n = m + r - 1
    output, filtering, image = [[F(0)] * n for _ in range(m)], [], []
    for index, point in enumerate(points):
        others = [F(1)]
        for other in points[:index] + points[index + 1 :]:
            others = times(others, [-F(other), F(1)])
        scale = sum(c * F(point) ** power for power, c in enumerate(others))
        filtering.append([F(point) ** power / scale for power in range(r)])
        image.append(others + [F(0)] * (n - len(others)))
        for power in range(m):
            output[power][index] = F(point) ** power
    everything = [F(1)]
    for point in points:
        everything = times(everything, [-F(point), F(1)])
    filtering.append([F(0)] * (r - 1) + [F(1)])
    image.append(everything)
    output[m - 1][n - 1] = F(1)
    return [np.array([[float(x) for x in row] for row in matrix]) for matrix in (output, filtering, image)]


def error(m, r, channels, tiles=60, filters=8):
    """Of one image transformed in f32, against the sum of products in f64."""
    n = m + r - 1
    output, filtering, image = (matrix.astype(np.float32) for matrix in transforms(m, r, POINTS[: n - 1]))
    random = np.random.default_rng(1)
    x = np.maximum(random.standard_normal((tiles, channels, n, n)), 0).astype(np.float32)
    w = (random.standard_normal((filters, channels, r, r)) / np.sqrt(channels * r * r)).astype(np.float32)
    exact = np.zeros((tiles, filters, m, m))
    for i in range(r):
        for j in range(r):
            part = x[:, :, i : i + m, j : j + m].astype(float)
            exact += np.einsum("tcxy,kc->tkxy", part, w[:, :, i, j].astype(float))
    x, w = image @ x @ image.T, filtering @ w @ filtering.T
    sums = np.zeros((tiles, filters, n, n), np.float32)
    for channel in range(channels):
        sums += x[:, None, channel] * w[None, :, channel]
    return np.linalg.norm(output @ sums @ output.T - exact) / np.linalg.norm(exact)


print("channels " + "".join(f"{channels:>9}" for channels in (16, 128, 512)))
for m, r in SIZES:
    print(f"F({m},{r})".ljust(9) + "".join(f"{error(m, r, channels):>9.1e}" for channels in (16, 128, 512)))
