"""The commands of a person with a cohort, and what they left, for the situations of this folder."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq

from outcomes import Wrong

QUICK = ["--no-report", "--metrics", "ssim"]
SMALL = ["--batch", "2", "--patch", "32,32", "--width", "8", "--depth", "2", "--no-report"]


def expect(what, right, found):
    if right != found:
        raise Wrong(f"{what}: expected {right}, found {found}")


class Cases:
    """cases.parquet of a curation folder."""

    def __init__(self, out):
        table = out / "cases.parquet"
        self.rows = pq.read_table(table).to_pylist()
        metadata = pq.read_metadata(table).metadata
        names = json.loads(metadata.get(b"pdl.label_names", b"{}"))
        self.names = {int(value): name for value, name in names.items()}
        self.findings = json.loads(metadata.get(b"pdl.findings", b"[]"))
        self.findings += [finding for row in self.rows for finding in row["findings"]]

    @property
    def codes(self):
        return {finding["code"] for finding in self.findings}

    @property
    def usable(self):
        """Labelled cases that are not rejected."""
        return [row for row in self.rows if row["status"] in ("ok", "warning")]

    @property
    def rejected(self):
        return sorted(row["case_id"] for row in self.rows if row["status"] == "rejected")

    @property
    def patients(self):
        return {row["patient_id"] for row in self.rows}

    @property
    def labels(self):
        """Values of the labels that any case has."""
        return sorted({label["value"] for row in self.usable for label in row["labels"]})

    @property
    def channels(self):
        return [channel["name"] for channel in self.rows[0]["channels"] or []]

    def splits(self, column="split"):
        return {row["case_id"]: row[column] for row in self.usable}

    def says(self, *codes):
        missing = set(codes) - self.codes
        if missing:
            raise Wrong(f"it does not say {', '.join(sorted(missing))}: {', '.join(sorted(self.codes))}")

    def summary(self):
        status = Counter(row["status"] for row in self.rows)
        counts = ", ".join(f"{count} {name}" for name, count in sorted(status.items()))
        return f"{counts}; {', '.join(sorted(self.codes))}"


class User:
    """A person with the finished programs and a folder of their own; `cohort` is theirs to fill."""

    def __init__(self, pdl, fit, folder):
        self.pdl, self.fit, self.folder = pdl, fit, folder
        self.cohort, self.out = folder / "cohort", folder / "out"
        self.cohort.mkdir()
        self.said = ""  # by the last `pdl curate`
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(folder), "OMP_WAIT_POLICY": "passive"}

    def run(self, *words, codes=(0,)):
        """The outputs of a command, stdout and stderr, which may end with one of `codes`."""
        words = [str(word) for word in words]
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=300, env=self.environment, cwd=self.folder
        )
        if done.returncode not in codes:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise Wrong(f"{Path(words[0]).name} {words[1]} ended with {done.returncode}: {' | '.join(said[-3:])}")
        return done.stdout + done.stderr

    def curate(self, *flags, cohort=None, out=None, codes=(0,)):
        out = out or self.out
        words = [self.pdl, "curate", cohort or self.cohort, "--out", out, *QUICK, *flags]
        self.said = self.run(*words, codes=codes)
        return Cases(out)

    def init(self):
        """What `pdl init` says, and the cohort that it names."""
        return json.loads(self.run(self.pdl, "init", self.cohort, "--out", self.out, "--json"))

    def init_and_curate(self, *flags):
        return self.curate(*flags, cohort=self.init()["cohort"])

    def refused(self, *words, saying):
        """The command fails, and says what is wrong or what to do."""
        said = self.run(*words, codes=(1, 2, 3))
        for part in saying:
            if part not in said:
                raise Wrong(f"{words[1]} does not say {part!r}: {' | '.join(said.strip().splitlines()[-3:])}")

    def train(self, *flags, out=None, name="walk", steps=30):
        """Trains a small network, and gives its folder and what was said."""
        out = out or self.out
        said = self.run(self.fit, "train", out, "--name", name, "--steps", steps, *SMALL, *flags)
        return out / "runs" / name, said

    def predict(self, run, *images, flags=()):
        """The predicted label maps by the names of their files."""
        into = self.folder / f"predicted-{len(list(self.folder.glob('predicted-*')))}"
        self.run(self.fit, "predict", run, *images, "--out", into, *flags)
        return {path.name.removesuffix(".nii.gz"): nib.load(path) for path in sorted(into.glob("*.nii.gz"))}

    def manifest(self, out=None):
        return pq.read_table((out or self.out) / "manifest.parquet").to_pylist()

    def leaks(self):
        """The pairs that join two splits, as audit.json lists them."""
        links = json.loads((self.out / "audit.json").read_text())["links"]
        return [link for link in links if link["split_a"] != link["split_b"]]

    def prepared(self, out=None):
        return pq.read_table((out or self.out) / "prepared.parquet").to_pylist()

    def evaluation(self, run, *flags, file="evaluation-val.parquet"):
        self.run(self.fit, "evaluate", run, *flags)
        return pq.read_table(run / file).to_pylist()


def values(image):
    """Label values of a volume, without background."""
    return sorted(set(np.unique(np.asarray(image.dataobj)).astype(int).tolist()) - {0})
