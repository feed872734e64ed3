"""The command `pdl`."""

import signal
import sys

from ._pdl import command


def main() -> int:
    """Run the command line; return the exit code."""
    # the program answers Ctrl-C itself, or is ended by it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return command(["pdl", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
