"""Ports of this machine."""

import socket
import sys
import time


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
