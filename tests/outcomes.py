"""Outcomes of inputs, a line each, held against the table that is kept of them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


WRONG = "wrong: "


class Wrong(Exception):
    """What is wrong with an outcome."""


def hold(table, names, outcome, whole):
    """Prints `outcome(name)` of each name and exits: with 0 if none is wrong and all are as in `table`.

    As many outcomes are worked out at once as there are cores. The table may hold others only where not the `whole` list
    is judged; PDL_UPDATE_OUTCOMES=1 writes it anew from a whole list.
    """

    def line(name):
        try:
            return f"{name}\t{outcome(name)}"
        except (Wrong, subprocess.TimeoutExpired) as fault:
            return f"{name}\t{WRONG}{fault}"

    lines = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for text in pool.map(line, names):
            print(text.replace("\t", "  "), flush=True)
            lines.append(text)
    if whole and os.environ.get("PDL_UPDATE_OUTCOMES"):
        table.write_text("\n".join(lines) + "\n")
    known = table.read_text().splitlines()
    wrong = sum(f"\t{WRONG}" in text for text in lines)
    differ = [text.split("\t")[0] for text in lines if text not in known and f"\t{WRONG}" not in text]
    differ += [text.split("\t")[0] for text in known if whole and text not in lines]
    if differ:
        print(f"not as in {table.name}: {', '.join(dict.fromkeys(differ))}", file=sys.stderr)
    print(f"{len(lines) - wrong} passed, {wrong} failed")
    sys.exit(bool(wrong or differ))
