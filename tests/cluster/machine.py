"""What the cluster's tests and its benchmark share: ports of this machine, and copies of a prepared cohort."""

import shutil
import socket
import sys
import time

import pyarrow.ipc as ipc


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_open(port, seconds=30):
    end = time.time() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.time() > end:
                sys.exit(f"FAILED: nobody listens on port {port}")
            time.sleep(0.05)


def folder(curated, out):
    """A copy of what a comparison needs of a curation folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copytree(curated / "proxies", out / "proxies")
    return out


def count(out):
    """How many cases have proxies."""
    return sum(ipc.open_file(path).read_all().num_rows for path in (out / "proxies").glob("*.arrow"))
