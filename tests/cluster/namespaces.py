"""A cluster of machines with addresses of their own, on one machine: network namespaces on a bridge.

    namespaces.py PDL PDL_CLUSTER COHORT CURATED SCRATCH

Compares the cases of the curation folder CURATED on one machine, then on a cluster that loses executors in several
ways, then on one that loses its scheduler; the pairs must be the same bytes each time. Prepares a copy of COHORT with a
damaged image on one machine and on a cluster that loses an executor; the files must be the same. All parts use TLS, and
strangers are kept out. Needs the right to make network namespaces (root) and the program `ip`; makes them itself, and
takes them away.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from machine import count, folder

PORT = 50050
NET = "10.98.76"
NAMES = ["scheduler", "first", "second", "third", "late", "client"]
# Slow on purpose, so that with few cases there is time to lose machines.
SLOW = ["--window", "gaussian", "--isa", "scalar"]

passed = []


def check(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAILED: {what} {detail}")
    passed.append(what)
    print(f"ok: {what}", flush=True)


def sh(*words):
    subprocess.run([str(word) for word in words], check=True)


class Net:
    """A namespace for each machine, joined by a bridge in one more."""

    def __init__(self):
        self.tag = f"pdl{os.getpid()}"
        self.made = []

    def __enter__(self):
        self.space("switch")
        self.inside("switch", "ip", "link", "add", "bridge", "type", "bridge")
        self.inside("switch", "ip", "link", "set", "bridge", "up")
        for number, name in enumerate(NAMES):
            self.space(name)
            here, there = f"eth{number}", f"port{number}"
            self.inside("switch", "ip", "link", "add", there, "type", "veth", "peer", "name", here, "netns", self.name(name))
            self.inside("switch", "ip", "link", "set", there, "master", "bridge", "up")
            self.inside(name, "ip", "addr", "add", f"{address(name)}/24", "dev", here)
            self.inside(name, "ip", "link", "set", here, "up")
            self.inside(name, "ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def name(self, machine):
        return f"{self.tag}-{machine}"

    def space(self, machine):
        sh("ip", "netns", "add", self.name(machine))
        self.made.append(self.name(machine))

    def inside(self, machine, *words):
        sh("ip", "netns", "exec", self.name(machine), *words)

    def cable(self, machine, state):
        self.inside("switch", "ip", "link", "set", f"port{NAMES.index(machine)}", state)

    def start(self, machine, log, *words):
        words = ["ip", "netns", "exec", self.name(machine), *[str(word) for word in words]]
        # Its own session, so that a signal to it reaches nobody else; `ip netns exec` becomes the
        # program itself.
        with open(log, "ab") as to:
            return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=to, stdin=subprocess.DEVNULL, start_new_session=True)


def address(machine):
    return f"{NET}.{NAMES.index(machine) + 1}"


def parts(out):
    return sorted(path for path in (out / "pairs").glob("*.parquet") if not path.name.startswith("."))


def digest(out):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in parts(out)}


def wait_for_parts(out, count, client, limit=240):
    end = time.time() + limit
    while len(parts(out)) < count:
        if client.poll() is not None:
            sys.exit(f"FAILED: the client ended (code {client.returncode}) with {len(parts(out))} of {count} parts")
        if time.time() > end:
            sys.exit(f"FAILED: {len(parts(out))} of {count} parts after {limit} s")
        time.sleep(0.05)


def main():
    pdl, cluster, cohort, curated, scratch = (Path(word).resolve() for word in sys.argv[1:6])
    scratch.mkdir(parents=True, exist_ok=True)
    one = folder(curated, scratch / "one-machine")
    cases = count(one)
    size = max(1, cases // 28)
    blocks = -(-cases // size)
    tiles = blocks * (blocks + 1) // 2
    print(f"{cases} cases in {tiles} tiles of {size}")
    flags = ["--tile", size, *(SLOW if cases < 60 else [])]
    sh(pdl, "compare", one, *flags)
    expected = digest(one)
    check("one machine makes every tile", len(expected) == tiles, len(expected))

    certificates = scratch / "certificates"
    shutil.rmtree(certificates, ignore_errors=True)
    sh(cluster, "init-certs", certificates)
    (certificates / "ca.key").unlink()  # the members do not need it
    tls = ["--tls", certificates]

    with Net() as net:
        at = f"{address('scheduler')}:{PORT}"
        running = []

        def scheduler():
            started = net.start("scheduler", scratch / "scheduler.log", cluster, "scheduler", "--bind", address("scheduler"), *tls)
            running.append(started)
            return started

        def executor(machine):
            words = ["executor", "--scheduler", at, "--bind", address(machine), "--cores", 1, "--memory", "1GiB"]
            started = net.start(machine, scratch / f"{machine}.log", cluster, *words, "--root", scratch, *tls)
            running.append(started)
            return started

        def client(out):
            words = ["compare", out, "--scheduler", at, "--json", *tls, *flags]
            return net.start("client", scratch / "client.log", cluster, *words)

        try:
            first_scheduler = scheduler()
            machines = {name: executor(name) for name in ["first", "second", "third"]}
            strangers(net, cluster, scratch, at)
            lossy(net, machines, executor, client, folder(curated, scratch / "losses"), expected, cluster, at, tls)
            outside(pdl, cluster, cohort, scratch, net, at, tls)
            preparation(pdl, cluster, cohort, scratch, net, machines | {"late": running[-1]}, at, tls)
            interrupted(client, folder(curated, scratch / "interrupted"), expected, scratch)
            dead_scheduler(first_scheduler, scheduler, client, folder(curated, scratch / "dead"), expected, scratch, size, cases)
        finally:
            for process in running:
                process.send_signal(signal.SIGCONT)
                process.kill()
    print(f"{len(passed)} passed, 0 failed")


def strangers(net, cluster, scratch, at):
    """Another cluster's certificates, none, and no TLS at all."""
    other = scratch / "other-certificates"
    shutil.rmtree(other, ignore_errors=True)
    sh(cluster, "init-certs", other)
    for what, words in [("another's certificate", ["--tls", other]), ("no TLS", ["--insecure"]), ("nothing", [])]:
        words = ["ip", "netns", "exec", net.name("client"), cluster, "status", "--scheduler", at, *words]
        ended = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        check(f"a client with {what} is kept out", ended.returncode == 1 and not ended.stdout, ended)


def outside(pdl, cluster, cohort, scratch, net, at, tls):
    """Volumes that lie outside the folders of the executors are not read."""
    out = scratch / "prepared-outside"
    shutil.rmtree(out, ignore_errors=True)
    sh(pdl, "index", cohort, "--out", out)
    words = ["ip", "netns", "exec", net.name("client"), cluster, "prepare", out, "--scheduler", at, *tls]
    ended = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    check("volumes outside the roots are refused", ended.returncode == 1 and "--root" in ended.stderr, ended)


def lossy(net, machines, executor, client, out, expected, cluster, at, tls):
    tiles = len(expected)
    running = client(out)
    wait_for_parts(out, tiles // 10, running)
    machines["first"].kill()
    print(f"killed the first executor at {len(parts(out))} parts", flush=True)
    wait_for_parts(out, tiles // 4, running)
    machines["second"].send_signal(signal.SIGSTOP)
    stopped = time.time()
    print(f"stopped the second at {len(parts(out))} parts", flush=True)
    executor("late")
    # While the second still stands: ten seconds later a quick machine has done every tile.
    wait_for_parts(out, tiles // 2, running)
    net.cable("third", "down")
    cut = len(parts(out))
    print(f"pulled the third one's cable at {cut} parts", flush=True)
    check("machines were lost while tiles were missing", cut < tiles, cut)
    time.sleep(max(0, stopped + 10 - time.time()))
    machines["second"].send_signal(signal.SIGCONT)
    told = status(net, cluster, at, tls)
    check("status tells executors and the job", told["executors"] and told["jobs"][0]["tiles_done"] > 0, told)
    answer, _ = running.communicate(timeout=600)
    check("exit code 0 after losses", running.returncode == 0, running.returncode)
    result = json.loads(answer)
    check("every pair is counted", result["computed"] == result["pairs"], result)
    check("the same bytes after losses", digest(out) == expected)
    pairs = duckdb.sql(f"select count(*), count(distinct (a, b)) from '{out}/pairs/*.parquet'").fetchall()[0]
    check("every pair exactly once", pairs == (result["pairs"], result["pairs"]), pairs)
    net.cable("third", "up")


def status(net, cluster, at, tls):
    words = ["ip", "netns", "exec", net.name("client"), cluster, "status", "--scheduler", at, "--json", *tls]
    return json.loads(subprocess.run([str(word) for word in words], check=True, capture_output=True).stdout)


def preparation(pdl, cluster, cohort, scratch, net, machines, at, tls):
    """Also with an image that cannot be read, which must be told and stop nothing."""
    here = scratch / "cohort"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(cohort, here)
    one, out = scratch / "prepared-one", scratch / "prepared"
    for folder in [one, out]:
        shutil.rmtree(folder, ignore_errors=True)
        sh(pdl, "index", here, "--out", folder)
    damaged = sorted(path for path in here.glob("images*/*.nii.gz"))[1]
    damaged.write_bytes(b"no image any more")
    flags = ["--resample", "nnunet"]  # slow on purpose
    sh(pdl, "prepare", one, *flags)
    running = net.start("client", scratch / "client.log", cluster, "prepare", out, "--scheduler", at, "--json", *tls, *flags)
    submitted = lambda: len(list((out / ".pdl" / "remote-results").glob("*.proxy.jsonl")))
    end = time.time() + 120
    while submitted() < 3 and running.poll() is None and time.time() < end:
        time.sleep(0.01)
    machines["late"].kill()
    print(f"killed an executor after {submitted()} cases were begun", flush=True)
    answer, _ = running.communicate(timeout=300)
    check("preparing ends with exit code 0", running.returncode == 0, running.returncode)
    result = json.loads(answer)
    check("and tells of the damaged image", result["failed"] == 1, result)
    check("and of all others as written", result["written"] == result["cases"], result)
    expected, found = tree(one), tree(out)
    differ = [name for name in expected if expected[name] != found.get(name)]
    check("the same prepared files", found == expected, differ)
    words = [pdl, "prepare", out, "--json", *flags]
    again = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    check("one machine finds all of it valid", again["prepare"]["written"] == 0, again["prepare"])


def interrupted(client, out, expected, scratch):
    running = client(out)
    wait_for_parts(out, len(expected) // 10, running)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    check("an interrupted client ends with exit code 130", running.returncode == 130, running.returncode)
    last = (scratch / "client.log").read_text().strip().splitlines()[-1]
    check("and says how to resume", "run the same command again" in last, last)
    running = client(out)
    running.communicate(timeout=600)
    check("the second run sees it through", running.returncode == 0 and digest(out) == expected, running.returncode)


def tree(out):
    """Files and their hashes, without failures.json, which names paths."""
    files = (path for path in out.rglob("*") if path.is_file() and ".pdl" not in path.parts and path.name != "failures.json")
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def dead_scheduler(first, scheduler, client, out, expected, scratch, size, cases):
    running = client(out)
    wait_for_parts(out, len(expected) // 5, running)
    first.kill()
    began = time.time()
    running.communicate(timeout=120)
    print(f"the client ended {time.time() - began:.1f} s after the scheduler", flush=True)
    check("without a scheduler the client fails", running.returncode == 1, running.returncode)
    last = (scratch / "client.log").read_text().strip().splitlines()[-1]
    print(f"its last words: {last}", flush=True)
    check("and says how to resume", "run the same command again to resume" in last, last)
    time.sleep(3)  # executors may still end the tiles that they had begun
    done = {path.name for path in parts(out)}
    missing = sum(pairs_of(name, size, cases) for name in expected if name not in done)
    scheduler()
    running = client(out)
    answer, _ = running.communicate(timeout=600)
    check("the second run succeeds", running.returncode == 0, running.returncode)
    result = json.loads(answer)
    check("and computes only what was missing", 0 < result["computed"] <= missing, (result, missing))
    check("the same bytes after a dead scheduler", digest(out) == expected)


def pairs_of(name, size, cases):
    row, col = (int(number) for number in name.removesuffix(".parquet").split("-"))
    width = lambda index: min(cases, (index + 1) * size) - index * size
    return width(row) * (width(row) - 1) // 2 if row == col else width(row) * width(col)


if __name__ == "__main__":
    main()
