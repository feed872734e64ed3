"""nnU-Net v2's own crop to non-zero, on small arrays.

    python tests/golden/scripts/crop.py     (packages: tests/interop/requirements-torch.txt)

Writes tests/golden/data/crop.json for crates/pdl-prepare/tests/crop.rs: of each array its shape (z, y, x), the flat indices
of its non-zero voxels in C order with their values, and nnU-Net's box as [first, end) of z, y, x.
"""

import importlib.metadata
import json
import pathlib

import numpy
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "crop.json"


def arrays():
    shell = numpy.zeros((9, 8, 7), numpy.float32)
    shell[2:7, 1:7, 2:6] = 3.0
    shell[3:6, 2:6, 3:5] = 0.0
    yield "a shell with a hole", shell
    speck = shell.copy()
    speck[8, 0, 6] = -0.5
    yield "a speck below 0 far off", speck
    voxel = numpy.zeros((4, 5, 6), numpy.float32)
    voxel[1, 2, 3] = 1e-20
    yield "one faint voxel", voxel
    yield "nothing is 0", numpy.full((3, 4, 5), -1000.0, numpy.float32)
    random = numpy.random.default_rng(7)
    sparse = numpy.where(random.random((11, 12, 13)) < 0.004, random.normal(size=(11, 12, 13)), 0).astype(numpy.float32)
    sparse[:2], sparse[:, :, -3:] = 0, 0
    yield "scattered", sparse
    plane = numpy.zeros((1, 10, 12), numpy.float32)
    plane[0, 4:9, 0:5] = 2.0
    yield "a plane", plane


def main():
    cases = []
    for name, voxels in arrays():
        cropped, _, box = crop_to_nonzero(voxels[None].copy())
        box = [[int(v) for v in side] for side in box]
        assert list(cropped.shape[1:]) == [end - first for first, end in box], name
        index = numpy.flatnonzero(voxels)
        full = len(index) == voxels.size
        cases.append({
            "name": name,
            "shape_zyx": list(voxels.shape),
            "nonzero": [] if full else index.tolist(),
            "values": [float(voxels.flat[0])] if full else [float(v) for v in voxels.flat[index]],
            "box_zyx": box,
        })
    versions = {name: importlib.metadata.version(name) for name in ("nnunetv2", "numpy", "scipy")}
    GOLDEN.write_text(json.dumps({"versions": versions, "cases": cases}) + "\n")


main()
