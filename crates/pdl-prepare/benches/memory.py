"""Memory and time that `pdl prepare` takes for large CT, which it makes in FOLDER: `just bench-memory`.

    memory.py PDL FOLDER [--slices 1000] [--cases 1] [flags of pdl prepare]

Volumes are 512 x 512 x SLICES int16 of 0.8 x 0.8 x 1 mm, a noisy ellipse in air with four labels, and are resampled to
1 mm unless --spacing says otherwise. It fails when the peak is not below the limit: 5 GiB for one case, or --memory.
"""

import argparse
import pathlib
import struct
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tests"))
import measure

SIDE = 512
SPACING = (0.8, 0.8, 1.0)
MIB_A_GIB = 1024


def header(shape, code, bits):
    """A NIfTI-1 header with an sform."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, code, bits)
    struct.pack_into("<8f", head, 76, 1, *SPACING, 1, 1, 1, 1)
    struct.pack_into("<3f", head, 108, 352, 1, 0)
    struct.pack_into("<2h", head, 252, 0, 1)
    struct.pack_into("<12f", head, 280, SPACING[0], 0, 0, 0, 0, SPACING[1], 0, 0, 0, 0, SPACING[2], 0)
    head[344:348] = b"n+1\0"
    return bytes(head)


def make(folder, case, slices):
    rng = numpy.random.default_rng(case)
    y, x = numpy.mgrid[:SIDE, :SIDE]
    inside = ((x - 256) / 200) ** 2 + ((y - 256) / 150) ** 2 < 1
    label = numpy.zeros((SIDE, SIDE), numpy.uint8)
    for number, (cx, cy) in enumerate([(150, 250), (350, 250), (256, 180), (256, 330)], 1):
        label[(x - cx) ** 2 + (y - cy) ** 2 < 40**2] = number
    noise = rng.normal(0, 30, (4, SIDE, SIDE))
    with open(folder / f"ct{case}.nii", "wb") as image, open(folder / f"ct{case}_label.nii", "wb") as labels:
        image.write(header((SIDE, SIDE, slices), 4, 16))
        labels.write(header((SIDE, SIDE, slices), 2, 8))
        for z in range(slices):
            tissue = 20 + 40 * label + noise[z % 4] + case
            image.write(numpy.where(inside, tissue, -1000).astype("<i2").tobytes())
            labels.write(label.tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--memory", type=float, metavar="GIB", help="given to pdl as --memory")
    parser.add_argument("--spacing", default="1,1,1")
    options, flags = parser.parse_known_args()
    cohort, out = options.folder / "cohort", options.folder / "out"
    if not cohort.exists():
        cohort.mkdir(parents=True)
        for case in range(options.cases):
            make(cohort, case, options.slices)
        rows = [f"ct{i}.nii,ct{i}_label.nii,p{i},train,CT" for i in range(options.cases)]
        (cohort / "cohort.csv").write_text("\n".join(["image,label,patient,split,modality", *rows]) + "\n")
    if not (out / "cases.parquet").exists():
        seconds, peak, _ = measure.must(options.pdl, "index", str(cohort), "--out", str(out))
        print(f"pdl index: {seconds:.0f} s, at most {peak / MIB_A_GIB:.2f} GiB", flush=True)
    words = [options.pdl, "prepare", str(out), "--spacing", options.spacing, *flags]
    if options.memory:
        words += ["--memory", f"{options.memory}GiB"]
    seconds, peak, _ = measure.must(*words)
    limit = options.memory or 5
    size = f"{options.cases} CT of {SIDE} x {SIDE} x {options.slices}"
    print(f"pdl prepare {' '.join(words[3:])}: {size}, {seconds:.0f} s, at most {peak / MIB_A_GIB:.2f} GiB", flush=True)
    if peak > limit * MIB_A_GIB:
        sys.exit(f"more than {limit:g} GiB")


if __name__ == "__main__":
    main()
