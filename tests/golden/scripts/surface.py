"""Surface distances of ellipsoids by MONAI, for crates/pdl-fit/src/surface.rs.

    # monai 1.6.0, torch, scipy
    python tests/golden/scripts/surface.py > tests/golden/data/surface.json
"""

import json

import monai
import numpy
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

SHAPE = (14, 20, 24)  # z, y, x
TOLERANCE_MM = 2.0
PAIRS = [
    # centre and radii of a, of b (z, y, x in voxels), spacing (z, y, x)
    ([7, 10, 12], [4, 6, 7], [7, 10, 12], [4, 6, 7], [1, 1, 1]),
    ([7, 10, 12], [4, 6, 7], [8, 11, 10], [4, 5, 8], [1, 1, 1]),
    ([7, 10, 12], [4, 6, 7], [6.5, 9, 13], [3, 6.5, 6], [3, 0.7, 0.7]),
    ([3, 4, 5], [3.5, 3, 3], [9, 15, 18], [3, 4, 5], [2.5, 0.9, 0.8]),
    ([0, 0, 0], [5, 9, 9], [2, 2, 2], [6, 8, 9], [1.5, 1, 2]),
    ([7, 10, 12], [0.5, 0.5, 0.5], [7, 10, 20], [5, 6, 3], [2, 1, 1]),
]


def ellipsoid(centre, radii):
    z, y, x = numpy.indices(SHAPE)
    return sum(((at - c) / r) ** 2 for at, c, r in zip((z, y, x), centre, radii)) <= 1.0


def main():
    pairs = []
    for centre_a, radii_a, centre_b, radii_b, spacing in PAIRS:
        a, b = (torch.from_numpy(ellipsoid(*of)).float()[None, None] for of in ((centre_a, radii_a), (centre_b, radii_b)))
        hd95 = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=[float(side) for side in spacing])
        dice = compute_surface_dice(a, b, [TOLERANCE_MM], include_background=True, spacing=[float(side) for side in spacing])
        pairs.append(
            {
                "a": {"centre": centre_a, "radii": radii_a},
                "b": {"centre": centre_b, "radii": radii_b},
                "spacing_mm": spacing,
                "hd95_mm": hd95.item(),
                "surface_dice": dice.item(),
            }
        )
    print(json.dumps({"monai": monai.__version__, "tolerance_mm": TOLERANCE_MM, "pairs": pairs}))


main()
