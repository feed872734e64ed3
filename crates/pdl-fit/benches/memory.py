"""Memory of a training on more voxels than memory holds, and its share of waiting: `just bench-fit-memory`.

A few volumes are generated and curated; hard links of their prepared files under further names make a cohort of
CASES. pdl-fit trains on it within a memory limit, from the files of OUT/training-cache, which it makes first.
Reported are the largest resident memory of the process, the share of the training time in which the network waited
for patches, and the seconds of both parts. With `--cold` the system has cached nothing of the files before the training.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

import blake3
import nibabel
import numpy
import pyarrow
import pyarrow.parquet

DISTINCT = 6


def volume(random, side):
    """An image of noise with two balls, and their labels."""
    axes = numpy.indices((side,) * 3, dtype=numpy.float32)
    image = random.normal(0.0, 40.0, (side,) * 3).astype(numpy.float32)
    labels = numpy.zeros((side,) * 3, numpy.uint8)
    for label in (1, 2):
        centre = random.uniform(0.3, 0.7, (3, 1, 1, 1)) * side
        ball = ((axes - centre) ** 2).sum(0) < (side * random.uniform(0.1, 0.16)) ** 2
        image[ball] += 300.0 * label
        labels[ball] = label
    return image.astype(numpy.int16), labels


def curated(pdl, folder, side):
    """A curation folder of a few volumes."""
    cohort, out = folder / "cohort", folder / "out"
    if not (out / "manifest.json").exists():
        random = numpy.random.default_rng(1)
        for number in range(DISTINCT):
            for kind, voxels in zip(("images", "labels"), volume(random, side), strict=True):
                path = cohort / kind / f"c{number}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                nibabel.save(nibabel.Nifti1Image(voxels, numpy.diag([1.0, 1.0, 1.0, 1.0])), path)
        subprocess.run(
            [pdl, "curate", cohort, "--out", out, "--modality", "CT", "--crop", "none", "--spacing", "1,1,1",
             "--no-report"],
            check=True,
        )
    return out


def linked(out, path, case, copy):
    """A hard link of a prepared file under the name of another case."""
    new = str(pathlib.Path(path).with_name(pathlib.Path(path).name.replace(case, copy, 1)))
    if not (out / new).exists():
        os.link(out / path, out / new)
    return new


def copies_of(rows, number):
    """So many copies of the training rows among `rows`, and the others as they are."""
    training = [row for row in rows if row["split"] == "train"]
    others = [row for row in rows if row["split"] != "train"]
    return [(training[n % len(training)], f"copy{n:04}", n) for n in range(number)], others


def widened(out, cases):
    """Makes the manifest of `out` one of so many cases, once."""
    table = pyarrow.parquet.read_table(out / "manifest.parquet")
    rows = table.to_pylist()
    if len(rows) >= cases:
        return
    copies, others = copies_of(rows, cases - sum(row["split"] != "train" for row in rows))
    new, first_rank = [], min(row["rank"] for row in rows if row["rank"] is not None)
    for row, name, rank in copies:
        row = dict(row, case_id=name, patient_id=name, rank=first_rank + rank)
        for key in ("image", "label"):
            row[key] = linked(out, row[key], source(row[key]), name)
        if "images" in row:
            row["images"] = [row["image"]]
        new.append(row)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(new + others, table.schema), out / "manifest.parquet")
    info = json.loads((out / "manifest.json").read_text())
    info["stages"] = [dict(info["stages"][0], first_epoch=0, active_cases=len(new))]
    info["hashes"]["manifest"] = blake3.blake3((out / "manifest.parquet").read_bytes()).hexdigest()
    (out / "manifest.json").write_text(json.dumps(info))


def source(path):
    """The case of a prepared file, by its name."""
    return pathlib.Path(path).name.split(".")[0]


def forget(folder):
    """Lets the system drop what it caches of the files of a folder."""
    os.sync()
    for path in folder.glob("*.voxels"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def train(fit, out, memory, words):
    """Trains; the process's peak of resident memory in bytes, its seconds, and the record of the run."""
    begin = time.perf_counter()
    command = [fit, "train", out, "--name", "bench-fit-memory", "--force", "--no-report", "--memory", memory, *words]
    process = subprocess.Popen([str(word) for word in command])
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit("pdl-fit failed")
    record = json.loads((out / "runs/bench-fit-memory/run.json").read_text())
    return usage.ru_maxrss * 1024, time.perf_counter() - begin, record


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl")
    parser.add_argument("fit")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--side", type=int, default=256, help="voxels along each axis")
    parser.add_argument("--memory", default="3GiB")
    parser.add_argument("--most", type=float, default=3.0, help="resident memory that is allowed, GiB")
    parser.add_argument("--cold", action="store_true", help="let the system forget the files before the training")
    parser.add_argument("words", nargs="*", help="flags of pdl-fit train, after --")
    args = parser.parse_args()
    out = curated(args.pdl, args.folder, args.side)
    widened(out, args.cases)
    words = args.words or ["--schedule", "conventional", "--steps", "120", "--eval-every", "60"]
    if not (out / "training-cache").exists():
        peak, seconds, _ = train(args.fit, out, args.memory, words)
        print(f"with the files made first: {peak / 2**30:.2f} GiB resident at most, {seconds:.0f} s")
    if args.cold:
        forget(out / "training-cache")
    peak, seconds, record = train(args.fit, out, args.memory, words)
    results = record["results"]
    print(f"{record['training_cases']} training cases of {args.side}^3: {peak / 2**30:.2f} GiB resident at most, "
          f"{seconds:.0f} s, of which {results['training_seconds']:.0f} s of training; "
          f"{100 * results['waiting_share']:.1f}% of these waiting for patches")
    if peak > args.most * 2**30:
        raise SystemExit(f"more than {args.most} GiB")


if __name__ == "__main__":
    main()
