#!/usr/bin/env python3
"""Stops a part of a cluster at every call that changes the disk, or has the call fail, and runs the command again.

    crash_points.py PDL PDL_CLUSTER COHORT WORK {executor,client} {prepare,compare} [--points N] [--part K/N]

COHORT is a sample cohort, of which a few cases are taken. A scheduler, an executor and the client of the command run on
this machine; the named part is disturbed as tests/faults/crash_points.py disturbs a program of one process. Then a new
scheduler, a new executor and a new client must give the bytes of an undisturbed run. Writes are only ever killed, not
failed, as strace cannot tell a file's from a connection's. Needs strace; Linux only.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from crash_points import ALLOWED, CALLS, FAILED, FAULTS, Program, choose, cohort_of, try_points
from machine import free_port, wait_until_open

# Time after which the other parts are no longer waited for, seconds.
LIMIT = 30


class Cluster(Program):
    """A part of a cluster that prepares or compares; the other parts are left alone."""

    # A client whose executor has failed ends with an error of the task.
    allowed = {fault: codes | ({FAILED} if fault in FAULTS[1:] else set()) for fault, codes in ALLOWED.items()}
    calls = [call for call in CALLS if call not in ("pwrite64", "writev")]
    only_killed = ("write",)
    counts_allocations = False

    def __init__(self, pdl: Path, cluster: Path, cohort: Path, work: Path, part: str, command: str):
        self.cluster, self.work, self.part = cluster, work, part
        self.out, self.before = work / "out", work / "before"
        quiet = {"check": True, "capture_output": True}
        subprocess.run([pdl, "index", cohort, "--out", self.before], **quiet)
        flags = ["--proxy-size", "16"]
        if command == "compare":
            subprocess.run([pdl, "prepare", self.before, *flags], **quiet)
            flags = ["--tile", "2"]
        self.words = [command, self.out, *flags]

    def fresh(self):
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.before, self.out)

    def contents(self) -> dict[str, bytes]:
        files = (path for path in self.out.rglob("*") if path.is_file())
        return {str(path.relative_to(self.out)): path.read_bytes() for path in files if ".pdl" not in path.parts}

    def run(self, tracer: tuple[str, ...], environment: dict[str, str]) -> int:
        """Of the disturbed part the exit code, of an executor that stays that of its client."""
        port = free_port()
        words = {
            "scheduler": ["scheduler", "--port", port],
            "executor": ["executor", "--scheduler", f"127.0.0.1:{port}", "--cores", 1, "--memory", "1GiB", "--root", self.work],
            "client": [*self.words[:2], "--scheduler", f"127.0.0.1:{port}", *self.words[2:]],
        }
        environment = environment | {"PDL_CLUSTER_TOKEN": str(self.work / "token")}
        running = {}
        try:
            for name, rest in words.items():
                command = [*(tracer if name == self.part else ()), self.cluster, *rest]
                with open(self.work / f"{name}.log", "ab") as log:
                    command = [str(word) for word in command]
                    running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
                if name == "scheduler":
                    wait_until_open(port)
            return self.ended(running)
        finally:
            for process in running.values():
                try:
                    os.killpg(process.pid, 9)  # with strace, what it traces
                except ProcessLookupError:
                    pass
                process.wait()

    def ended(self, running: dict[str, subprocess.Popen]) -> int:
        end = time.time() + LIMIT
        while time.time() < end:
            for name in (self.part, "client"):
                if (code := running[name].poll()) is not None:
                    return code
            time.sleep(0.01)
        return 124


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("pdl", "cluster", "cohort", "work"):
        parser.add_argument(name, type=lambda word: Path(word).resolve())
    parser.add_argument("role", choices=("executor", "client"))
    parser.add_argument("command", choices=("prepare", "compare"))
    choose(parser)
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    cohort = cohort_of(options.cohort, options.work)
    program = Cluster(options.pdl, options.cluster, cohort, options.work, options.role, options.command)
    return try_points(program, options.work, options)


if __name__ == "__main__":
    sys.exit(main())
