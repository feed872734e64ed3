"""`pdl index` of a DICOM series against dcm2niix, side by side: python index.py PDL FOLDER [--rounds N]

FOLDER holds one series and its structure set. Both read it and write a compressed NIfTI volume; pdl draws the
structures, too, hashes and checks. The rounds of the two alternate, and what they print is the median of each. Needs
dcm2niix from PyPI, which stands in requirements.txt here.
"""

import argparse
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

import dcm2niix


def timed(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdl")
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds = {"pdl index": [], "dcm2niix": []}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for number in range(options.rounds + 1):  # the first round warms the page cache
            for name, times in seconds.items():
                out = scratch / "out"
                out.mkdir()
                key = scratch / "key"
                commands = {
                    "pdl index": [options.pdl, "index", options.folder, "--out", out, "--pseudonym-key", key],
                    "dcm2niix": [dcm2niix.bin, "-z", "y", "-b", "n", "-o", out, options.folder],
                }
                took = timed(commands[name])
                volumes = [path for path in out.rglob("*.nii.gz") if "label" not in str(path)]
                assert volumes, f"{name} wrote no volume"
                shutil.rmtree(out)
                if number:
                    times.append(took)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: {median:.3f} s (median of {options.rounds}: {min(seconds[name]):.3f} to {max(seconds[name]):.3f})")
    print(f"pdl index takes {medians['pdl index'] / medians['dcm2niix']:.2f} times as long as dcm2niix")


if __name__ == "__main__":
    main()
