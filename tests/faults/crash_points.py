#!/usr/bin/env python3
"""Stops a program at every call that changes the disk, or has the call fail, and runs it again.

    python3 tests/faults/crash_points.py PDL COHORT WORK [--train PDL_FIT] [--points N] [--part K/N]

COHORT is a sample cohort with a cohort.csv, of which a few cases are taken; WORK is a folder to be made. The program is
`pdl curate`, or, with --train, a short training on what it curated, with a checkpoint at each evaluation. With one
worker thread, every write, sync, rename, removal, link and new folder is counted by strace, thread by thread. Then,
for the n-th of each kind, the run is killed right after it, or the call fails with EIO or ENOSPC. Large allocations are
counted and failed one by one by a library that is loaded before the program (fault.c). The same command must then end
as if nothing had been: the bytes of every file those of an undisturbed run (of a training those of its weights, and
its figures but for seconds), and no temporary file left. --points takes that many points spread evenly over all, the
same ones every time, --part a part of them. Needs strace, and cc for the allocations; Linux only.
"""

import argparse
import json
import os
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
ALLOCATION, NO_MEMORY = "allocation", "error=ENOMEM"
# Allocations from this size on, bytes: those whose sizes come out of files, and buffers.
LARGE = 65536
CASES = 6
MACHINE, FAILED = 7, 1
# How a run may end: done (the call was of no matter, or tried again), by the machine, killed,
# aborted by the allocator; a codec of tables that gets no memory panics, and its file is called
# damaged.
ALLOWED = {
    "signal=KILL": {0, 137, -9},
    "error=EIO": {0, MACHINE},
    "error=ENOSPC": {0, MACHINE},
    NO_MEMORY: {0, FAILED, MACHINE, 134, -6},
}


def cohort_of(sample: Path, work: Path) -> Path:
    cohort = work / "cohort"
    lines = (sample / "cohort.csv").read_text().splitlines()[: CASES + 1]
    for line in lines[1:]:
        for name in line.split(",")[:2]:
            (cohort / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample / name, cohort / name)
    (cohort / "cohort.csv").write_text("\n".join(lines) + "\n")
    return cohort


def leftovers(out: Path) -> list[str]:
    return [str(path.relative_to(out)) for path in out.rglob(".tmp-*")]


class Program:
    """What is disturbed; a kind of it says which folder it fills, with which command, and what must come out."""

    allowed = ALLOWED
    # Calls that change the disk, and those of them that never fail.
    calls: list[str] = CALLS
    only_killed: tuple[str, ...] = ()
    counts_allocations = True

    def run(self, tracer: tuple[str, ...], environment: dict[str, str]) -> int:
        return subprocess.run([*tracer, *self.command], capture_output=True, env=environment).returncode


class Curate(Program):
    """`pdl curate` into a new folder."""

    def __init__(self, pdl: Path, cohort: Path, work: Path):
        self.out = work / "out"
        self.command = [pdl, "curate", cohort, "--out", self.out, "--proxy-size", "16", "--threads", "1"]

    def fresh(self):
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()

    def contents(self) -> dict[str, bytes]:
        files = (path for path in self.out.rglob("*") if path.is_file())
        return {str(path.relative_to(self.out)): path.read_bytes() for path in files if ".pdl" not in path.parts}


class Train(Program):
    """A short training on a curated folder, which is made once."""

    # libtorch turns some errors of its own files into plain ones.
    allowed = {fault: codes | {FAILED} if fault.startswith("error") else codes for fault, codes in ALLOWED.items()}

    def __init__(self, fit: Path, curated: Curate):
        self.out = curated.out
        curated.fresh()
        subprocess.run(curated.command, check=True, capture_output=True)
        words = ["--name", "run", "--steps", "6", "--eval-every", "2", "--width", "4", "--batch", "2", "--threads", "1"]
        self.command = [fit, "train", self.out, *words, "--no-report"]

    def fresh(self):
        shutil.rmtree(self.out / "runs", ignore_errors=True)

    def contents(self) -> dict[str, bytes]:
        run = self.out / "runs/run"
        found = {path.name: b"" for path in run.iterdir() if path.name != ".pdl"} if run.is_dir() else {}
        if "weights.safetensors" in found:
            found["weights.safetensors"] = (run / "weights.safetensors").read_bytes()
        if "run.json" in found:
            results = json.loads((run / "run.json").read_text())["results"]
            figures = {key: value for key, value in results.items() if "seconds" not in key and key != "waiting_share"}
            found["run.json"] = json.dumps(figures, sort_keys=True).encode()
        return found


class Faults:
    """Runs of a program in which a call fails."""

    def __init__(self, program, work: Path):
        self.program, self.work = program, work
        self.trace = ",".join(program.calls)
        library = work / "fault.so"
        source = Path(__file__).with_name("fault.c")
        compiled = shutil.which("cc") and subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"])
        self.library = library if compiled and compiled.returncode == 0 else None

    def run(self, *tracer: str, **environment: str) -> int:
        return self.program.run(tracer, {**os.environ, **environment})

    def points(self) -> list[tuple[str, int, str]]:
        """All points of an undisturbed run."""
        self.program.fresh()
        log = self.work / "log"
        command = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(log), "-e", f"trace={self.trace}"]
        assert self.run(*command) == 0, "an undisturbed run"
        threads: dict[str, Counter] = defaultdict(Counter)
        for line in log.read_text(errors="replace").splitlines():
            if found := re.match(r"(\d+) +(\w+)\(", line):
                threads[found[2]][found[1]] += 1
        calls = self.program.calls
        most = {call: max(threads[call].values(), default=0) for call in calls}
        faults = {call: FAULTS[:1] if call in self.program.only_killed else FAULTS for call in calls}
        points = [(call, number, fault) for call in calls for number in range(1, most[call] + 1) for fault in faults[call]]
        if not self.program.counts_allocations:
            return points
        if self.library:
            self.program.fresh()
            count = self.work / "count"
            limits = {"LD_PRELOAD": str(self.library), "FAULT_SIZE": str(LARGE), "FAULT_COUNT": str(count)}
            assert self.run(**limits) == 0, "an undisturbed run"
            points += [(ALLOCATION, number, NO_MEMORY) for number in range(1, int(count.read_text()) + 1)]
        else:
            print("NOT TESTED: allocations, as there is no C compiler (cc)")
        return points

    def disturbed(self, call: str, number: int, fault: str) -> int:
        if call == ALLOCATION:
            size = {"FAULT_SIZE": str(LARGE), "FAULT_SKIP": str(number - 1), "FAULT_TIMES": "1"}
            return self.run(LD_PRELOAD=str(self.library), FAULT_CALL="malloc", **size)
        inject = f"inject={call}:{fault}:when={number}"
        return self.run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={self.trace}", "-e", inject)


def choose(parser: argparse.ArgumentParser):
    """The options that say which points are tried."""
    parser.add_argument("--points", type=int, metavar="N", help="so many points, spread evenly")
    parser.add_argument("--part", metavar="K/N", default="1/1", help="the K-th of N parts of them, for several runs at once")


def try_points(program: Program, work: Path, options: argparse.Namespace) -> int:
    """Disturbs the program at the chosen points and prints what became of it; the exit code."""
    faults = Faults(program, work)
    program.fresh()
    assert faults.run() == 0, "an undisturbed run"
    expected = program.contents()
    points = faults.points()
    whole = len(points)
    if options.points and options.points < whole:
        points = [points[place * whole // options.points] for place in range(options.points)]
    part, parts = map(int, options.part.split("/"))
    points = points[part - 1 :: parts]
    ended, wrong = Counter(), []
    for call, number, fault in points:
        program.fresh()
        code = faults.disturbed(call, number, fault)
        ended[fault, code] += 1
        again = faults.run()
        found = program.contents()
        differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        left = leftovers(program.out)
        if code not in program.allowed[fault] or again != 0 or differing or left:
            wrong.append((call, number, fault))
            print(f"{call} {number} {fault}: ended {code}, then {again}; differing: {differing}; left: {left}", flush=True)
    print(f"{len(points)} of {whole} points: " + ", ".join(f"{f} ended {c}: {n}" for (f, c), n in sorted(ended.items())))
    print(f"{len(wrong)} went wrong")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--train", type=Path, metavar="PDL_FIT")
    choose(parser)
    options = parser.parse_args()
    if not shutil.which("strace"):
        print("NOT TESTED: there is no strace")
        return 0
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    program = Curate(options.pdl, cohort_of(options.cohort, options.work), options.work)
    if options.train:
        program = Train(options.train, program)
    return try_points(program, options.work, options)


if __name__ == "__main__":
    sys.exit(main())
