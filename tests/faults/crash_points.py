#!/usr/bin/env python3
"""Stops `pdl curate` at every call that changes the disk, or has the call fail, and runs it again.

    python3 tests/faults/crash_points.py PDL COHORT WORK [--points N]

COHORT is a sample cohort with a cohort.csv, of which a few cases are taken; WORK is a folder to be made. With one
worker thread, every write, sync, rename, removal, link and new folder is counted by strace, thread by thread. Then,
for the n-th of each kind, the run is killed right after it, or the call fails with EIO or ENOSPC. The same command must
then end as if nothing had been: the bytes of every file those of an undisturbed run, and no temporary file left.
--points takes that many points spread evenly over all, the same ones every time. Needs strace; Linux only.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

CALLS = [
    "write", "pwrite64", "writev", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir",
    "mkdir", "mkdirat", "link", "linkat", "ftruncate",
]
FAULTS = ["signal=KILL", "error=EIO", "error=ENOSPC"]
CASES = 6
MACHINE = 7
# How a run may end: done (the call was of no matter, or tried again), by the machine, killed.
ALLOWED = {"signal=KILL": {0, 137, -9}, "error=EIO": {0, MACHINE}, "error=ENOSPC": {0, MACHINE}}


def cohort_of(sample: Path, work: Path) -> Path:
    cohort = work / "cohort"
    lines = (sample / "cohort.csv").read_text().splitlines()[: CASES + 1]
    for line in lines[1:]:
        for name in line.split(",")[:2]:
            (cohort / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample / name, cohort / name)
    (cohort / "cohort.csv").write_text("\n".join(lines) + "\n")
    return cohort


def fresh(out: Path) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    # So few voxels make two patients look like one.
    (out / "pdl.toml").write_text("[audit]\nduplicate_ssim = 1.0\n")
    return out


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files if ".pdl" not in path.parts}


def leftovers(out: Path) -> list[str]:
    return [str(path.relative_to(out)) for path in out.rglob(".tmp-*")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--points", type=int)
    options = parser.parse_args()
    if not shutil.which("strace"):
        print("NOT TESTED: there is no strace")
        return 0
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    cohort, out = cohort_of(options.cohort, options.work), options.work / "out"

    def curate(*tracer: str) -> int:
        words = ["curate", cohort, "--out", out, "--proxy-size", "16", "--threads", "1"]
        run = subprocess.run([*tracer, options.pdl, *words], capture_output=True)
        return run.returncode

    fresh(out)
    log = options.work / "log"
    trace = ",".join(CALLS)
    assert curate("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={trace}") == 0, "an undisturbed run"
    expected = contents(out)
    threads: dict[str, Counter] = defaultdict(Counter)
    for line in log.read_text(errors="replace").splitlines():
        if found := re.match(r"(\d+) +(\w+)\(", line):
            threads[found[2]][found[1]] += 1
    points = [
        (call, number, fault)
        for call in CALLS
        for number in range(1, max(threads[call].values(), default=0) + 1)
        for fault in FAULTS
    ]
    whole = len(points)
    if options.points and options.points < whole:
        points = [points[place * whole // options.points] for place in range(options.points)]
    ended, wrong = Counter(), []
    for call, number, fault in points:
        fresh(out)
        inject = f"inject={call}:{fault}:when={number}"
        code = curate("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={trace}", "-e", inject)
        ended[fault, code] += 1
        again = curate()
        found = contents(out)
        differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        if code not in ALLOWED[fault] or again != 0 or differing or leftovers(out):
            wrong.append((call, number, fault))
            print(f"{call} {number} {fault}: ended {code}, then {again}; differing: {differing}; left: {leftovers(out)}")
    print(f"{len(points)} of {whole} points: " + ", ".join(f"{f} ended {c}: {n}" for (f, c), n in sorted(ended.items())))
    print(f"{len(wrong)} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
