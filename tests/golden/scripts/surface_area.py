"""Surface Dice and HD95 weighted by area, by DeepMind's surface-distance, for crates/pdl-fit/src/metrics/surface.rs.

    # surface-distance 0.1, numpy 2.4, scipy 1.17
    python tests/golden/scripts/surface_area.py > tests/golden/data/surface_area.json

Masks are unions of ellipsoids, some with holes, at the border or of one voxel, which the test draws again.
With --table it prints the table of crates/pdl-fit/src/metrics/surface_elements.rs instead.
"""

import json
import sys

import numpy
from surface_distance import lookup_tables, metrics

SHAPE = (12, 16, 18)  # z, y, x
PAIRS = 120
TOLERANCES_MM = [0.0, 1.0, 2.5]


def mask_of(parts):
    z, y, x = numpy.indices(SHAPE)
    mask = numpy.zeros(SHAPE, bool)
    for centre, radii, inside in parts:
        part = sum(((at - c) / r) ** 2 for at, c, r in zip((z, y, x), centre, radii)) <= 1.0
        mask = mask | part if inside else mask & ~part
    return mask


def parts(random):
    """Ellipsoids as (centre, radii, whether it is added or cut out), z, y, x in voxels."""
    def one(low, high):
        centre = [round(float(random.uniform(-1, side)), 2) for side in SHAPE]
        return centre, [round(float(random.uniform(low, high)), 2) for _ in SHAPE]
    drawn = [(*one(0.4, 6.0), True) for _ in range(random.integers(1, 4))]
    return drawn + [(*one(0.5, 3.0), False) for _ in range(random.integers(0, 2))]


def golden():
    random = numpy.random.default_rng(1)
    pairs = []
    while len(pairs) < PAIRS:
        a = parts(random)
        shift = random.uniform(-1.5, 1.5, 3)
        near = [([round(float(c + s), 2) for c, s in zip(centre, shift)], radii, inside) for centre, radii, inside in a]
        b = near if random.uniform() < 0.6 else parts(random)
        spacing = [round(float(side), 2) for side in random.uniform(0.5, 4.0, 3)]
        masks = [mask_of(a), mask_of(b)]
        if not all(mask.any() for mask in masks):
            continue
        found = metrics.compute_surface_distances(*masks, spacing)
        pairs.append(
            {
                "a": a,
                "b": b,
                "spacing_mm": spacing,
                "hd95_mm": float(metrics.compute_robust_hausdorff(found, 95)),
                "surface_dice": [float(metrics.compute_surface_dice_at_tolerance(found, mm)) for mm in TOLERANCES_MM],
            }
        )
    print(json.dumps({"shape": SHAPE, "tolerances_mm": TOLERANCES_MM, "pairs": pairs}))


def table():
    """The distinct sets of normals, in eighths and without signs, and the set of each of the 256 codes."""
    of_code = []
    for normals in lookup_tables._NEIGHBOUR_CODE_TO_NORMALS:
        eighths = [tuple(int(abs(8 * part)) for part in normal) for normal in normals]
        of_code.append(tuple(sorted(normal for normal in eighths if any(normal))))
    sets = sorted(set(of_code), key=lambda normals: (len(normals), normals))
    print(f"pub(super) const NORMALS: [&[[u8; 3]]; {len(sets)}] = [")
    for normals in sets:
        print("    &[" + ", ".join(f"[{z}, {y}, {x}]" for z, y, x in normals) + "],")
    print("];\n\npub(super) const NORMALS_OF_CODE: [u8; 256] = [")
    for first in range(0, 256, 16):
        print("    " + ", ".join(str(sets.index(normals)) for normals in of_code[first : first + 16]) + ",")
    print("];")


table() if "--table" in sys.argv else golden()
