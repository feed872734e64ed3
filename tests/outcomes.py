"""Outcomes of inputs, a line each, held against the table that is kept of them."""

import os
import subprocess
import sys


class Wrong(Exception):
    """What is wrong with an outcome."""


def hold(table, names, outcome, whole):
    """Prints `outcome(name)` of each name and exits: with 0 if none is wrong and, of the whole list, all are as in `table`.

    PDL_UPDATE_OUTCOMES=1 writes the table anew.
    """
    lines, wrong = [], 0
    for name in names:
        try:
            lines.append(f"{name}\t{outcome(name)}")
        except (Wrong, subprocess.TimeoutExpired) as fault:
            wrong += 1
            lines.append(f"{name}\twrong: {fault}")
        print(lines[-1].replace("\t", "  "), flush=True)
    text = "\n".join(lines) + "\n"
    if whole and os.environ.get("PDL_UPDATE_OUTCOMES"):
        table.write_text(text)
    differ = whole and not wrong and table.read_text() != text
    if differ:
        print(f"the outcomes are not those of {table.name}", file=sys.stderr)
    print(f"{len(lines) - wrong} passed, {wrong} failed")
    sys.exit(bool(wrong or differ))
