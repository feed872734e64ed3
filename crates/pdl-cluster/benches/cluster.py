"""A cluster of two executors of one core each, beside `pdl compare` with two threads, on the same machine.

    cluster.py PDL PDL_CLUSTER CURATED [--rounds 3] [--tile 128] [--memory GIB] [--many CASES]

Pairs a second of both, run in turn on the proxies of the curation folder CURATED; each executor may use half of the
memory (GiB) that the one process may. Bytes written for a pair, and the memory of all. With --many also the constants
of model.py on this machine: the cost of a pair, a case, a tile and its check, and the scheduler's time and memory when
every pair of so many cases is a tile (10,011 tiles with 141 cases).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy
import pyarrow.ipc as ipc

sys.path[:0] = [str(Path(__file__).parents[3] / "tests"), str(Path(__file__).parents[3] / "tests/cluster")]
import measure
from machine import count, folder, free_port, wait_until_open


@contextmanager
def running(*words):
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def memory_mib(process):
    """The most it has had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def core_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def timed(out, *words):
    """Seconds of a whole comparison from nothing."""
    shutil.rmtree(out / "pairs", ignore_errors=True)
    return measure.must(*(str(word) for word in words))[0]


def first(curated, cases, out):
    """A copy with the first cases only."""
    folder(curated, out)
    paths = sorted((out / "proxies").glob("*.arrow"))
    with open(paths[0], "rb") as file:
        reader = ipc.open_file(file)
        table, keys = reader.read_all(), json.loads(reader.metadata[b"row_keys"])
    assert table.num_rows >= cases, f"the first file has {table.num_rows} cases"
    for path in paths:
        path.unlink()
    with ipc.new_file(paths[0], table.schema, metadata={"row_keys": json.dumps(keys[:cases])}) as writer:
        writer.write_table(table.slice(0, cases).combine_chunks())
    return out


def side_by_side(out, local, spread, options):
    cases = count(out)
    pairs = cases * (cases - 1) // 2
    ratios = []
    for _ in range(options.rounds):
        one, many = (pairs / timed(out, *words, "--tile", options.tile) for words in [local, spread])
        ratios.append(many / one)
        print(f"pairs a second: one process {one:.0f}, cluster {many:.0f}, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} of {len(ratios)}, {cases} cases, tiles of {options.tile}")
    written = sum(path.stat().st_size for path in (out / "pairs").glob("*.parquet"))
    print(f"{written / pairs:.1f} bytes written for a pair")


def constants(curated, scratch, local):
    """Of one core, by comparisons of few cases in one tile: start + cases * a case + pairs * a pair."""
    sizes = [2, 96, 192]
    seconds = []
    for cases in sizes:
        out = first(curated, cases, scratch / "some")
        words = [*local(out, 1), "--tile", cases]
        seconds.append(statistics.median(timed(out, *words) for _ in range(5)))
    start, case, pair = numpy.linalg.solve([[1, n, n * (n - 1) / 2] for n in sizes], seconds)
    print(f"one core: {1e6 * pair:.1f} us a pair, {1e3 * case:.2f} ms a case, {start:.2f} s to start")


def small_tiles(curated, cases, scratch, local, spread, scheduler):
    out = first(curated, cases, scratch / "many")
    tiles = cases * (cases + 1) // 2
    alone = timed(out, *local(out, 2), "--tile", 1)
    began = time.perf_counter()
    measure.must(*(str(word) for word in [*local(out, 2), "--tile", 1]))
    checked = time.perf_counter() - began
    busy, memory = core_seconds(scheduler), memory_mib(scheduler)
    seconds = timed(out, *spread(out), "--tile", 1)
    busy = core_seconds(scheduler) - busy
    print(f"{tiles} tiles of a pair at most: one process {alone:.1f} s, cluster {seconds:.1f} s")
    print(f"so {1e3 * (2 * seconds - 2 * alone) / tiles:.2f} ms of a core a tile more; {1e3 * checked / tiles:.3f} ms to check one")
    print(f"scheduler: {1e3 * busy / tiles:.3f} ms of a core a tile; {memory:.0f} MiB before, {memory_mib(scheduler):.0f} MiB at most")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pdl", type=Path)
    parser.add_argument("cluster", type=Path)
    parser.add_argument("curated", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--memory", type=int, default=8)
    parser.add_argument("--many", type=int, default=0)
    options = parser.parse_args()
    pdl, cluster, curated = options.pdl.resolve(), options.cluster.resolve(), options.curated.resolve()
    port = free_port()
    at = f"127.0.0.1:{port}"
    local = lambda out, threads: [pdl, "compare", out, "--threads", threads, "--memory", f"{options.memory}GiB"]
    spread = lambda out: [cluster, "compare", out, "--scheduler", at]
    executor = [cluster, "executor", "--scheduler", at, "--cores", 1, "--memory", f"{options.memory / 2}GiB", "--root", curated.parent]
    with tempfile.TemporaryDirectory(dir=curated.parent) as scratch, running(cluster, "scheduler", "--port", port) as scheduler:
        scratch = Path(scratch)
        wait_until_open(port)
        with running(*executor) as one, running(*executor) as other:
            time.sleep(3)
            if options.rounds:
                out = folder(curated, scratch / "out")
                side_by_side(out, local(out, 2), spread(out), options)
            if options.many:
                constants(curated, scratch, local)
                small_tiles(curated, options.many, scratch, local, spread, scheduler)
            print("MiB at most: executors", *(f"{memory_mib(process):.0f}" for process in [one, other]), end="")
            print(f", scheduler {memory_mib(scheduler):.0f}")


if __name__ == "__main__":
    main()
