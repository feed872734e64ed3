"""Ranks, audits, splits and exports a cohort of 20,000 cases: `just bench-rank FOLDER`.

The cohort is made here (volumes of 8^3 voxels: what is measured begins after the comparison, and does not depend on
their size) and curated by pdl itself, so that FOLDER/out holds what a user's folder would: all pairs, some 200
million, in their part files. What is in FOLDER already is used again. Every command is timed as a whole process, and
its peak of memory is the process's own.
"""

import argparse
import array
import pathlib
import random
import shutil
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tests"))
import measure

SIDE = 8
SITES = 40
ORDERS = "typical atypical random k-centre facility-location mmr community stratified".split()


def nifti(voxels):
    """The bytes of an uncompressed NIfTI-1 file of SIDE^3 int16 voxels of 1 mm, axes RAS+."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, SIDE, SIDE, SIDE, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<2f", header, 108, 352, 1)
    struct.pack_into("<b", header, 123, 2)
    struct.pack_into("<2h", header, 252, 0, 1)
    for axis in range(3):
        row = [0.0, 0.0, 0.0, 0.0]
        row[axis] = 1.0
        struct.pack_into("<4f", header, 280 + 16 * axis, *row)
    header[344:348] = b"n+1\0"
    return bytes(header) + voxels.tobytes()


def cohort(folder, cases):
    """Cases of SITES sites: a site's own pattern, some of the next one's, and noise. Every tenth patient has two."""
    numbers = random.Random(1)
    patterns = [[numbers.gauss(0, 100) for _ in range(SIDE**3)] for _ in range(SITES)]
    label = array.array("h", [int(i % SIDE > 2 and i // SIDE**2 > 2) for i in range(SIDE**3)])
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lines = ["image,label,patient,modality"]
    for case in range(cases):
        own, other = patterns[case % SITES], patterns[(case + 1) % SITES]
        share = numbers.random() * 0.6
        noise = [numbers.random() * 60 for _ in range(SIDE)]
        voxels = array.array(
            "h",
            [
                int(1000 + (1 - share) * a + share * b + noise[(i * 5 + i // 11) % SIDE] + numbers.random() * 40)
                for i, (a, b) in enumerate(zip(own, other))
            ],
        )
        image, mask = f"images/case_{case:05}.nii", f"labels/case_{case:05}.nii"
        (folder / image).write_bytes(nifti(voxels))
        (folder / mask).write_bytes(nifti(label))
        lines.append(f"{image},{mask},patient_{case - (case % 10 == 9):05},MR")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")


def timed(name, *command, codes=(0, 3)):
    code, seconds, peak, _ = measure.run(*command)
    if code not in codes:
        raise SystemExit(f"{name} failed with exit code {code}: {' '.join(command)}")
    print(f"  {name:28} {seconds:8.1f} s {peak:8.0f} MiB", flush=True)
    return seconds, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path, help="takes some 3 GB; used again when it is there")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--orders", nargs="*", default=ORDERS, choices=ORDERS)
    words = parser.parse_args()
    source, out = words.folder / f"cohort-{words.cases}", words.folder / f"out-{words.cases}"
    if not (source / "cohort.csv").exists():
        cohort(source, words.cases)
    program, folder = words.program, str(out)
    index = [program, "index", str(source), "--out", folder, "--modality", "MR"]
    print(f"{words.cases} cases, {words.cases * (words.cases - 1) // 2} pairs")
    print("to begin with")
    timed("index", *index)
    timed("prepare", program, "prepare", folder, "--proxy-size", str(SIDE))
    timed("compare", program, "compare", folder)
    size = sum(part.stat().st_size for part in (out / "pairs").iterdir())
    print(f"  pairs/ takes {size / 1e9:.2f} GB")

    # Ranking audits too, as `pdl rank` does.
    print("rank, with its audit")
    for order in words.orders:
        flags = ["--stratify-by", "split"] if order == "stratified" else []
        timed(order, program, "rank", folder, "--order", order, *flags)
    print("rank, split, audit and export together")
    together = [
        timed("rank, typical", program, "rank", folder),
        timed("split (index again)", *index),
        timed("audit", program, "audit", folder),
    ]
    for target in ("csv", "monai"):
        dest = words.folder / f"export-{target}"
        shutil.rmtree(dest, ignore_errors=True)
        together.append(timed(f"export to {target}", program, "export", folder, "--to", target, "--dest", str(dest)))
    seconds, peak = sum(part[0] for part in together), max(part[1] for part in together)
    print(f"  {'together':28} {seconds:8.1f} s {peak:8.0f} MiB at most")


if __name__ == "__main__":
    main()
