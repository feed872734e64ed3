"""From a volume's file to the array that a training loop takes, against MONAI and SimpleITK: `just bench-prepare`.

All do the same: read, turn to RAS+, resample (`linear`: between the two nearest voxels, without anti-aliasing, by all
three; `cubic`: Catmull-Rom by pdl, splines of order 3 by the others), take percentiles 0.5 and 99.5 to 0 and 1. Peers
are called as their users call them, in one process a core with one thread each, started and warmed up beforehand; pdl
has one thread a core. Rates are cases per second of wall time, medians of interleaved rounds. Beside them is the whole
of `pdl prepare`, start to end: it reads images and labels twice (fingerprint, then the volumes), normalises, resamples
both, and writes compressed files and proxies.

The means of SimpleITK's arrays, which lie on the same grid, have to be those of pdl's; MONAI keeps the place of the
first voxel instead of the box, so its shapes may differ by one.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

COHORTS = {"hippocampus-mr": (0.8, 0.8, 0.8), "head-neck-ct": (3.0, 3.0, 3.0)}
LOWER, UPPER = 0.5, 99.5


def monai_case(path, spacing, method):
    import torch
    from monai.transforms import Compose, LoadImage, Orientation, ScaleIntensityRangePercentiles, Spacing

    torch.set_num_threads(1)
    steps = Compose(
        [
            LoadImage(image_only=True, ensure_channel_first=True),
            Orientation(axcodes="RAS", labels=None),
            Spacing(pixdim=spacing, mode="bilinear" if method == "linear" else 3),
            ScaleIntensityRangePercentiles(LOWER, UPPER, 0, 1, clip=True),
        ]
    )
    array = steps(path)
    return list(array.shape[1:]), float(array.mean())


def simpleitk_case(path, spacing, method):
    import numpy
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(path, SimpleITK.sitkFloat32), "RAS")
    old, sides = image.GetSize(), image.GetSpacing()
    size = [max(1, round(n * side / new)) for n, side, new in zip(old, sides, spacing)]
    # The box stays, as in pdl: voxels are as long as fits.
    new = [n * side / m for n, side, m in zip(old, sides, size)]
    first = [0.5 * n / m - 0.5 for n, m in zip(old, size)]
    resample = SimpleITK.ResampleImageFilter()
    resample.SetSize(size)
    resample.SetOutputSpacing(new)
    resample.SetOutputDirection(image.GetDirection())
    resample.SetOutputOrigin(image.TransformContinuousIndexToPhysicalPoint(first))
    resample.SetInterpolator(SimpleITK.sitkLinear if method == "linear" else SimpleITK.sitkBSpline3)
    resample.UseNearestNeighborExtrapolatorOn()
    array = SimpleITK.GetArrayFromImage(resample.Execute(image))
    low, high = numpy.percentile(array, [LOWER, UPPER])
    array = numpy.clip((array - low) / (high - low), 0, 1)
    return size, float(array.mean(dtype=float))


def timed(pool, case, files, spacing, method):
    start = time.perf_counter()
    results = pool.starmap(case, [(str(path), spacing, method) for path in files], chunksize=1)
    return time.perf_counter() - start, [mean for _, mean in results]


def arrays(program, files, spacing, method, threads):
    words = [program, str(threads), method, ",".join(map(str, spacing)), *map(str, files)]
    result = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return result["seconds"], result["means"]


def whole(pdl, cohort, spacing, threads, folder):
    """Seconds of `pdl prepare` of an indexed cohort."""
    out = folder / "out"
    indexed = folder / "indexed"
    if not indexed.exists():
        subprocess.run([pdl, "index", str(cohort), "--out", str(indexed)], check=True, capture_output=True)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(indexed, out)
    words = [pdl, "prepare", str(out), "--spacing", ",".join(map(str, spacing)), "--threads", str(threads)]
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl")
    parser.add_argument("arrays", help="the example `arrays` of pdl-prepare")
    parser.add_argument("data", type=pathlib.Path, help="the folder of hippocampus-mr and head-neck-ct")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=40, help="of each cohort, the first by name")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--methods", nargs="+", choices=["linear", "cubic"], default=["linear", "cubic"])
    options = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, context.Pool(options.cores) as monai, context.Pool(
        options.cores
    ) as simpleitk:
        for name, spacing in COHORTS.items():
            files = sorted((options.data / name / "images").glob("*.nii.gz"))[: options.cases]
            assert files, f"no volumes in {options.data / name}"
            for method in options.methods:
                warm = files[:2] * options.cores
                timed(monai, monai_case, warm, spacing, method)
                timed(simpleitk, simpleitk_case, warm, spacing, method)
                seconds = {"MONAI": [], "SimpleITK": [], "pdl": []}
                for _ in range(options.rounds):
                    took, _ = timed(monai, monai_case, files, spacing, method)
                    seconds["MONAI"].append(took)
                    took, theirs = timed(simpleitk, simpleitk_case, files, spacing, method)
                    seconds["SimpleITK"].append(took)
                    took, ours = arrays(options.arrays, files, spacing, method, options.cores)
                    seconds["pdl"].append(took)
                if method == "linear":
                    apart = max(abs(a - b) for a, b in zip(ours, theirs))
                    assert apart < 1e-4, f"the arrays differ: means by {apart}"
                rates = {who: len(files) / statistics.median(took) for who, took in seconds.items()}
                print(f"{name}, {len(files)} cases to {spacing} mm, {method}, {options.cores} cores:")
                for who, rate in rates.items():
                    spread = " ".join(f"{1000 * took / len(files):.2f}" for took in seconds[who])
                    times = f"pdl is {rates['pdl'] / rate:.1f} times as fast" if who != "pdl" else ""
                    print(f"  {who:10} {rate:8.1f} cases/s  (ms a case: {spread})  {times}", flush=True)
            cohort = options.data / name
            work = pathlib.Path(folder) / name
            work.mkdir()
            took = statistics.median(whole(options.pdl, cohort, spacing, options.cores, work) for _ in range(options.rounds))
            cases = len(list((cohort / "images").glob("*.nii.gz")))
            print(f"  pdl prepare as a whole, {cases} cases: {took:.2f} s, {cases / took:.1f} cases/s", flush=True)


if __name__ == "__main__":
    main()
