"""A cluster of two executors of one core each, beside `pdl compare` with two threads, on the same machine.

    cluster.py PDL PDL_CLUSTER CURATED [--rounds 3] [--tile 128] [--many CASES]

Pairs a second of both, run in turn on the proxies of the curation folder CURATED; bytes written
per pair; and with --many what a tile costs beside its pairs, and the memory of the scheduler, when every pair of so many
cases is a tile (10,011 tiles with 141 cases).
"""

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow.ipc as ipc


@contextmanager
def running(*words):
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_open(port):
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the scheduler does not come up")


def memory_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def timed(out, words):
    shutil.rmtree(out / "pairs", ignore_errors=True)
    began = time.perf_counter()
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    return time.perf_counter() - began


def few(out, cases):
    """Leaves the first cases only."""
    paths = sorted((out / "proxies").glob("*.arrow"))
    with open(paths[0], "rb") as file:
        reader = ipc.open_file(file)
        table, keys = reader.read_all(), json.loads(reader.metadata[b"row_keys"])
    assert table.num_rows >= cases, f"the first file has {table.num_rows} cases"
    for path in paths[1:]:
        path.unlink()
    with ipc.new_file(paths[0], table.schema, metadata={"row_keys": json.dumps(keys[:cases])}) as writer:
        writer.write_table(table.slice(0, cases).combine_chunks())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pdl", type=Path)
    parser.add_argument("cluster", type=Path)
    parser.add_argument("curated", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--many", type=int, default=0)
    args = parser.parse_args()
    pdl, cluster = args.pdl.resolve(), args.cluster.resolve()
    with tempfile.TemporaryDirectory(dir=args.curated.parent) as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        shutil.copytree(args.curated / "proxies", out / "proxies")
        for table in ["cases.parquet", "prepared.parquet"]:  # by which pdl knows what is done
            shutil.copy(args.curated / table, out)
        cases = sum(ipc.open_file(path).read_all().num_rows for path in (out / "proxies").glob("*.arrow"))
        pairs = cases * (cases - 1) // 2
        port = free_port()
        at = f"127.0.0.1:{port}"
        with running(cluster, "scheduler", "--port", port) as scheduler:
            wait_until_open(port)
            executor = [cluster, "executor", "--scheduler", at, "--cores", 1, "--memory", "2GiB"]
            with running(*executor) as one, running(*executor) as other:
                time.sleep(3)
                local = [pdl, "compare", out, "--json", "--threads", 2, "--memory", "4GiB"]
                spread = [cluster, "compare", out, "--json", "--scheduler", at]
                ratios = []
                for _ in range(args.rounds):
                    rates = []
                    for words in [local, spread]:
                        rates.append(pairs / timed(out, [*words, "--tile", args.tile]))
                    ratios.append(rates[1] / rates[0])
                    print(f"pairs a second: one process {rates[0]:.0f}, cluster {rates[1]:.0f}, ratio {ratios[-1]:.3f}")
                print(f"median ratio {statistics.median(ratios):.3f} of {len(ratios)}, {cases} cases, tiles of {args.tile}")
                written = sum(path.stat().st_size for path in (out / "pairs").glob("*.parquet"))
                print(f"{written / pairs:.1f} bytes written for a pair; executors' and scheduler's memory:")
                print(" ".join(f"{memory_mib(process.pid):.0f}" for process in [one, other, scheduler]), "MiB at most")
                if args.many:
                    few(out, args.many)
                    alone = timed(out, [*local, "--tile", 1])
                    seconds = timed(out, [*spread, "--tile", 1])
                    tiles = args.many * (args.many + 1) // 2
                    print(f"{tiles} tiles of a pair at most: one process {alone:.1f} s, cluster {seconds:.1f} s,")
                    print(f"so {1000 * (seconds - alone) / tiles:.2f} ms a tile more; scheduler's peak {memory_mib(scheduler.pid):.0f} MiB")


if __name__ == "__main__":
    main()
