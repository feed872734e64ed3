"""Time and memory of a program, for the benchmarks."""

import pathlib
import subprocess
import tempfile
import time


def run(*command):
    """Exit code, seconds, peak MiB and standard output of a process."""
    start = time.perf_counter()
    said = tempfile.TemporaryFile("w+")
    process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    peak = 0
    # What the system counts for a child begins with its parent's size; the process's own mark does
    # not.
    while process.poll() is None:
        try:
            peak = max([peak, *(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)])
        except OSError:
            pass
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    said.seek(0)
    return process.returncode, seconds, peak / 1024, said.read()


def must(*command):
    """As `run`, of a process that has to succeed, without its exit code."""
    code, *figures = run(*command)
    if code:
        raise SystemExit(f"ended with {code}: {' '.join(map(str, command))}")
    return figures
