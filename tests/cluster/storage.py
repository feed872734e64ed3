"""A cluster whose machines share no folder, but S3-compatible storage that fails now and then.

    storage.py PDL PDL_CLUSTER CURATED SCRATCH

The storage is moto's server behind a proxy that answers some requests with 500, before or after passing them on, and
others slowly. Executors keep only a few cases on their disks, and one of them is killed. The pairs must be the same
bytes as on one machine, and every part in the bucket must be there once.
"""

import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from machine import count, folder, free_port, wait_until_open
from namespaces import SLOW, check, digest, parts, passed

SECRET = "not-to-be-seen-anywhere"
URL = "s3://bucket/some/prefix"
SOMEBODY = "AWS4-HMAC-SHA256 Credential=somebody/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class Faults(BaseHTTPRequestHandler):
    """Passes requests on, most of them."""

    protocol_version = "HTTP/1.1"
    behind = None
    draws = random.Random(8)
    seen = {"passed": 0, "refused": 0, "lost": 0, "slow": 0}
    parts = 0
    lock = threading.Lock()

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.lock:
            draw = self.draws.random()
            fault = "refused" if draw < 0.05 else "lost" if draw < 0.1 else "slow" if draw < 0.13 else "passed"
            self.seen[fault] += 1
            Faults.parts += self.command == "PUT" and "/pairs/" in self.path
        if fault == "slow":
            time.sleep(1.5)
        if fault == "refused":
            return self.answer(500, [], b"<Error><Code>InternalError</Code></Error>")
        onward = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        onward.request(self.command, self.path, body, dict(self.headers))
        came = onward.getresponse()
        content = came.read()
        if fault == "lost":  # it has been done, but the answer does not arrive
            return self.answer(500, [], b"<Error><Code>InternalError</Code></Error>")
        self.answer(came.status, came.getheaders(), content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = dict((name.lower(), value) for name, value in headers).get("content-length", len(content))
        self.send_header("Content-Length", length if self.command == "HEAD" else len(content))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def objects(port):
    """Keys and contents of the bucket, asked for without faults."""
    from xml.etree import ElementTree

    keys, after = [], ""
    while True:
        url = f"http://127.0.0.1:{port}/bucket?list-type=2&start-after={after}"
        tree = ElementTree.fromstring(urllib.request.urlopen(url).read())
        found = [element.text for element in tree.iter() if element.tag.endswith("}Key")]
        if not found:
            return keys
        keys += found
        after = found[-1]


def main():
    pdl, cluster, curated, scratch = (Path(word).resolve() for word in sys.argv[1:5])
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    one, out = folder(curated, scratch / "one-machine"), folder(curated, scratch / "out")
    cases = count(one)
    flags = ["--tile", str(max(1, cases // 6)), *(SLOW if cases < 60 else [])]
    subprocess.run([pdl, "compare", one, *flags], check=True, stdout=subprocess.DEVNULL)
    expected = digest(one)
    moto, scheduler, proxy = free_port(), free_port(), ThreadingHTTPServer(("127.0.0.1", 0), Faults)
    Faults.behind = moto
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": f"http://127.0.0.1:{proxy.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "PDL_CLUSTER_TOKEN": str(scratch / "token"),
        "PDL_LOG": "info",
    }
    running = []

    def start(name, *words):
        with open(scratch / f"{name}.log", "ab") as log:
            words = [str(word) for word in words]
            started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        running.append(started)
        return started

    def executor(name):
        (scratch / "cache" / name).mkdir(parents=True)
        place = ["--cache", scratch / "cache" / name, "--cache-size", "10MiB", "--root", URL]
        return start(name, cluster, "executor", "--scheduler", at, "--cores", 1, "--memory", "1GiB", *place)

    def client():
        return start("client", cluster, "compare", out, "--scheduler", at, "--storage", URL, "--json", *flags)

    try:
        with open(scratch / "moto.log", "wb") as log:
            words = [sys.executable, "-m", "moto.server", "-p", str(moto)]
            running.append(subprocess.Popen(words, stdout=log, stderr=log))
        wait_until_open(moto)
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{moto}/bucket", method="PUT"))
        at = f"127.0.0.1:{scheduler}"
        start("scheduler", cluster, "scheduler", "--port", scheduler)
        wait_until_open(scheduler)
        lost, _ = executor("first"), executor("second")
        comparing = client()
        end = time.time() + 120
        while Faults.parts < len(expected) // 4 and comparing.poll() is None and time.time() < end:
            time.sleep(0.05)
        lost.kill()
        print(f"killed an executor after {Faults.parts} of {len(expected)} parts", flush=True)
        executor("late")
        answer, _ = comparing.communicate(timeout=300)
        check("exit code 0 with a storage that fails", comparing.returncode == 0, comparing.returncode)
        print(f"requests: {Faults.seen}")
        check("the storage did fail", min(Faults.seen.values()) > 0, Faults.seen)
        result = json.loads(answer)
        check("every pair is counted", result["computed"] == result["pairs"], result)
        check("the same bytes by way of storage", digest(out) == expected)
        there = [key for key in objects(moto) if "/pairs/" in key]
        tiles = {key.split("/")[-2] for key in there}
        check("every part is in the bucket once", len(there) == len(tiles) == len(expected), len(there))
        for path in parts(out)[::2]:
            path.unlink()
        again = client()
        answer, _ = again.communicate(timeout=120)
        check("a second run computes nothing", again.returncode == 0 and json.loads(answer)["computed"] == 0, answer)
        check("and brings the parts", digest(out) == expected)
        damaged(moto, client, out)
        told = [path for path in scratch.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
        check("no file and no log holds the secret", not told, told)
    finally:
        for process in running:
            process.kill()
    print(f"{len(passed)} passed, 0 failed")


def damaged(moto, client, out):
    """A part that is not what its name says is refused, not taken."""
    key = next(key for key in objects(moto) if "/pairs/" in key)
    url = f"http://127.0.0.1:{moto}/bucket/{key}"
    urllib.request.urlopen(urllib.request.Request(url, data=b"something else", headers={"Authorization": SOMEBODY}, method="PUT"))
    path = out / "pairs" / f"{key.split('/')[-2]}.parquet"
    path.unlink()
    ended = client()
    ended.communicate(timeout=120)
    check("a damaged part is refused", ended.returncode == 1 and not path.exists(), ended.returncode)


if __name__ == "__main__":
    main()
