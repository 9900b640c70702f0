"""Singular values by one-sided Jacobi rotations (Hestenes): pairs of columns are turned until all are orthogonal."""

import math

import numpy as np

SWEEPS = 60  # a dozen are enough for matrices of this size
NEGLIGIBLE = 2.0**-50  # of the columns' lengths; what is left changes s_i by its square


def decompose(weights):
    """(u_i, s_i, v_i) as lists of Python floats, by falling s_i; min(u, v) of them, u_i of zeros where s_i is 0."""
    matrix = weights.astype(np.float64).tolist()
    turned = len(matrix) < len(matrix[0])
    if turned:
        matrix = [list(row) for row in zip(*matrix, strict=True)]
    columns = [list(column) for column in zip(*matrix, strict=True)]
    rotations = [[float(i == j) for j in range(len(columns))] for i in range(len(columns))]
    for _ in range(SWEEPS):
        moved = [_rotate(columns, rotations, i, j) for j in range(len(columns)) for i in range(j)]  # all, then any
        if not any(moved):
            break
    triples = []
    for column, rotation in zip(columns, rotations, strict=True):
        size = math.hypot(*column)
        direction = [x / size for x in column] if size else [0.0] * len(column)
        triples.append((rotation, size, direction) if turned else (direction, size, rotation))
    return sorted(triples, key=lambda triple: -triple[1])


def singular_values(weights):
    """(min(u, v),) in float64, falling."""
    return np.array([size for _, size, _ in decompose(weights)])


def svd_approximation(weights, t):
    """As frcnn.reference.svd_approximation, for input that is known to be good."""
    triples = decompose(weights)[:t]
    rows, columns = weights.shape
    product = [[math.fsum(a[i] * s * b[j] for a, s, b in triples) for j in range(columns)] for i in range(rows)]
    return np.array(product, weights.dtype)


def _rotate(columns, rotations, i, j):
    """Make columns i and j orthogonal; whether they were not."""
    a, b = columns[i], columns[j]
    alpha, beta = math.fsum(x * x for x in a), math.fsum(y * y for y in b)
    inner = math.fsum(x * y for x, y in zip(a, b, strict=True))
    if abs(inner) <= NEGLIGIBLE * math.sqrt(alpha) * math.sqrt(beta):
        return False
    zeta = (beta - alpha) / (2 * inner)
    tangent = math.copysign(1.0, zeta) / (abs(zeta) + math.hypot(1.0, zeta))
    cosine = 1 / math.hypot(1.0, tangent)
    sine = cosine * tangent
    for pair in (columns, rotations):
        x, y = pair[i], pair[j]
        pair[i] = [cosine * p - sine * q for p, q in zip(x, y, strict=True)]
        pair[j] = [sine * p + cosine * q for p, q in zip(x, y, strict=True)]
    return True
