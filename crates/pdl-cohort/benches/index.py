"""Indexes folders of 20,000 small files: `just bench-index FOLDER`.

Three cohorts are made here out of the sample ones: DICOM series that nothing labels (read and kept as NIfTI,
unlabelled), DICOM series each with a structure set (read, drawn and kept as NIfTI), and NIfTI pairs. What is in
FOLDER already is used again. Each command is timed as a whole process, cold (a new OUT) and once more on what it left;
its peak of memory is the process's own.
"""

import argparse
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tests"))
import measure

SAMPLES = pathlib.Path(__file__).parents[3] / "sample-data"


def dicom(folder, files, labelled):
    """Copies of a sample series under UIDs and patient ids of their own (of the same length, so that no byte moves)."""
    case = SAMPLES / "dicom" / "ct_01"
    slices = [path for path in sorted(case.iterdir()) if labelled or not path.name.startswith("RTSTRUCT")]
    contents = [(path.name, path.read_bytes()) for path in slices]
    for series in range(files // len(slices)):
        target = folder / f"{series:05}"
        target.mkdir(parents=True)
        prefix = b"%d.%03d" % (3 + series // 900, 100 + series % 900)
        for name, content in contents:
            (target / name).write_bytes(content.replace(b"2.25.", prefix))


def nifti(folder, files):
    """Copies of the sample's smallest case."""
    images = sorted((SAMPLES / "mr" / "images").iterdir(), key=lambda path: path.stat().st_size)
    name = images[0].name
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        content = (SAMPLES / "mr" / kind / name).read_bytes()
        for case in range(files // 2):
            (folder / kind / f"case_{case:05}.nii.gz").write_bytes(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pdl", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--files", type=int, default=20_000)
    arguments = parser.parse_args()
    makers = {
        "dicom": lambda folder: dicom(folder, arguments.files, False),
        "dicom with labels": lambda folder: dicom(folder, arguments.files, True),
        "nifti": lambda folder: nifti(folder, arguments.files),
    }
    print(f"{'cohort':<20}{'files':>8}{'first, s':>10}{'files/s':>9}{'MiB':>6}{'again, s':>10}")
    for name, make in makers.items():
        place = arguments.folder / name.replace(" ", "-")
        cohort, out = place / "cohort", place / "out"
        if not cohort.exists():
            make(cohort)
        shutil.rmtree(out, ignore_errors=True)
        files = sum(path.is_file() for path in cohort.rglob("*"))
        command = [arguments.pdl, "index", cohort, "--out", out, "--modality", "MR" if name == "nifti" else "CT"]
        seconds, peak, said = measure.must(*command)
        again, _, _ = measure.must(*command)
        print(f"{name:<20}{files:>8}{seconds:>10.2f}{files / seconds:>9.0f}{peak:>6.0f}{again:>10.2f}", flush=True)
        print(said.splitlines()[1])


if __name__ == "__main__":
    main()
