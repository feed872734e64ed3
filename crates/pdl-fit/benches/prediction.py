"""Memory of predictions of large images: `just bench-predict-memory`.

A few small volumes with as many labels as asked for are generated and curated, and a small network is trained on them for
a few steps. It segments a generated image of the size asked for; reported are the largest resident memory of the process
and its seconds. What bounds the memory is the number of labels and the size of the image, not what the network has learnt.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

import nibabel
import numpy

CASES = 8
SIDE = 64
# Size along x, y, z, labels, dimensions of the network, and the most memory in GiB.
TRIALS = [((512, 512, 1000), 25, 2, 5.0), ((512, 512, 1000), 25, 3, 5.0), ((512, 512, 700), 118, 2, 8.0), ((512, 512, 700), 118, 3, 8.0)]


def save(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, numpy.diag([1.0, 1.0, 1.0, 1.0])), path)


def cohort(folder, labels):
    """Volumes of noise with a brighter cube for each label, on a grid that moves from case to case."""
    random = numpy.random.default_rng(1)
    a_side = int(numpy.ceil(labels ** (1 / 3)))
    cube = SIDE // (a_side + 1)
    for number in range(CASES):
        image = random.normal(0.0, 20.0, (SIDE,) * 3)
        label_map = numpy.zeros((SIDE,) * 3, numpy.uint8)
        offset = random.integers(0, cube, 3)
        for label in range(labels):
            at = numpy.array(numpy.unravel_index(label, (a_side,) * 3)) * cube + offset
            place = tuple(slice(first, first + cube - 2) for first in at)
            image[place] += 8.0 * (label + 1)
            label_map[place] = label + 1
        save(folder / f"images/c{number}.nii.gz", image.astype(numpy.int16))
        save(folder / f"labels/c{number}.nii.gz", label_map)


def network(pdl, fit, folder, labels, dims):
    """A run of a few steps."""
    source, out = folder / "cohort", folder / "out"
    run = out / f"runs/{dims}d"
    if not source.exists():
        cohort(source, labels)
    if not (out / "manifest.json").exists():
        flags = ["--modality", "CT", "--crop", "none", "--spacing", "1,1,1", "--no-report"]
        subprocess.run([pdl, "curate", source, "--out", out, *flags], check=True, stdout=subprocess.DEVNULL)
    if not (run / "run.json").exists():
        flags = ["--dims", dims, "--width", 4, "--steps", 10, "--eval-every", 10, "--no-report"]
        words = [fit, "train", out, "--name", run.name, *flags]
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert len(json.loads((run / "run.json").read_text())["labels"]) == labels
    return run


def scan(path, size):
    """An image of air with a body of noise in its middle."""
    if path.exists():
        return
    random = numpy.random.default_rng(2)
    voxels = numpy.full(size, -1000, numpy.int16)
    body = tuple(slice(3 * side // 8, 5 * side // 8) for side in size[:2])
    for z in range(size[2]):
        plane = voxels[..., z]
        plane[body] = random.normal(0.0, 60.0, plane[body].shape)
    save(path, voxels)


def predict(fit, run, image, to):
    """The process's peak of resident memory in bytes, and its seconds."""
    begin = time.perf_counter()
    words = [fit, "predict", run, image, "--out", to]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"pdl-fit predict failed: {image}")
    return usage.ru_maxrss * 1024, time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl")
    parser.add_argument("fit")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--dims", type=int, choices=(2, 3), action="append", help="networks of these dimensions only")
    args = parser.parse_args()
    wrong = 0
    for size, labels, dims, most in TRIALS:
        if args.dims and dims not in args.dims:
            continue
        folder = args.folder / f"{labels}-labels"
        run = network(args.pdl, args.fit, folder, labels, dims)
        image = args.folder / f"{'x'.join(map(str, size))}.nii.gz"
        scan(image, size)
        to = folder / f"predicted-{dims}d"
        (to / image.name).unlink(missing_ok=True)
        peak, seconds = predict(args.fit, run, image, to)
        shape = nibabel.load(to / image.name).shape
        wrong += shape != size or peak > most * 2**30
        print(f"{labels} labels on {' x '.join(map(str, size))}, {dims}-D network: {peak / 2**30:.2f} GiB resident at most "
              f"(limit {most:g} GiB), {seconds:.0f} s", flush=True)
    if wrong:
        raise SystemExit(f"{wrong} of the predictions took more memory than they may, or have another size")


if __name__ == "__main__":
    main()
