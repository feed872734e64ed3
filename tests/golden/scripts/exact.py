"""Contours by exact rational arithmetic, for dicom.py and rtutils.py; and how alike two masks are."""

import collections
import math
from fractions import Fraction

import blake3
import numpy


def fill(contours, columns, rows):
    """Pixels (row, column) inside contours of exact (column, row) points: by pdl's rule, those of them that lie on an
    edge, and by the half-open rule, which takes of the edges those towards smaller rows and columns."""
    walked = collections.Counter()
    for points in contours:
        for a, b in zip(points, points[1:] + points[:1]):
            if a != b or len(points) == 1:
                walked[tuple(sorted((a, b)))] += 1
    edges = [edge for edge, times in walked.items() if times % 2]
    crossings = collections.defaultdict(list)
    inside, border, half_open = set(), set(), set()
    near = Fraction(1, 20)
    for a, b in edges:
        low, high = sorted((a, b), key=lambda p: p[1])
        for row in range(max(0, math.ceil(low[1])), min(rows, math.ceil(high[1]))):
            crossings[row].append(low[0] + (row - low[1]) * (high[0] - low[0]) / (high[1] - low[1]))
        along = (b[0] - a[0], b[1] - a[1])
        square = along[0] ** 2 + along[1] ** 2
        left, right = sorted((a[0], b[0]))
        for row in range(max(0, math.ceil(low[1] - near)), min(rows - 1, math.floor(high[1] + near)) + 1):
            for column in range(max(0, math.ceil(left - near)), min(columns - 1, math.floor(right + near)) + 1):
                p = (column - a[0], row - a[1])
                share = min(1, max(0, (p[0] * along[0] + p[1] * along[1]) / square)) if square else 0
                if (p[0] - share * along[0]) ** 2 + (p[1] - share * along[1]) ** 2 <= near**2:
                    border.add((row, column))
    for row, found in crossings.items():
        found.sort()
        for left, right in zip(found[::2], found[1::2]):
            inside.update((row, c) for c in range(max(0, math.ceil(left)), min(columns - 1, math.floor(right)) + 1))
            half_open.update((row, c) for c in range(max(0, math.ceil(left)), min(columns, math.ceil(right))))
    return inside | border, border, half_open


def counted(mask):
    # Slice by slice from the feet up, rows from the front, columns from the right: as stored.
    counts = {str(z): int(part.sum()) for z, part in enumerate(mask) if part.any()}
    return {"counts": counts, "blake3": blake3.blake3(mask.astype(numpy.uint8).tobytes()).hexdigest()}


def likeness(ours, theirs):
    return {"dice": float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())), "volume": float(ours.sum() / theirs.sum())}
