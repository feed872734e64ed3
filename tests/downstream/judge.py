#!/usr/bin/env python3
"""Walk each situation of this folder with the finished programs: served right, or refused with the way out.

usage: judge.py PDL PDL_FIT [SITUATION ...]    with no SITUATION all of them, whose outcomes must be those of outcomes.tsv
                                               (PDL_UPDATE_OUTCOMES=1 writes that file anew)

A situation is a function of channels.py, growth.py, labels.py, layouts.py, names.py, prediction.py, splits.py or tables.py. Its docstring begins with the
public reports that it follows; it fills the folder of a user with a small cohort made of the samples, gives the commands
that its people would give, and raises `Wrong` where an outcome is not right.
"""

import inspect
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # outcomes.py
sys.path.insert(0, str(HERE.parent / "layouts"))  # trees.py, what makes the volumes

import channels  # noqa: E402
import growth  # noqa: E402
import labels  # noqa: E402
import layouts  # noqa: E402
import names  # noqa: E402
import outcomes  # noqa: E402
import prediction  # noqa: E402
import splits  # noqa: E402
import tables  # noqa: E402
from user import User, Wrong  # noqa: E402


def situations():
    """The functions by their names, in the order of the files."""
    found = {}
    for module in (channels, growth, labels, layouts, names, prediction, splits, tables):
        for name, function in vars(module).items():
            takes_user = inspect.isfunction(function) and list(inspect.signature(function).parameters) == ["user"]
            if takes_user and function.__module__ == module.__name__:
                found[name] = function
    return found


def outcome(pdl, fit, situation):
    with tempfile.TemporaryDirectory() as folder:
        return situation(User(pdl, fit, Path(folder)))


def main():
    pdl, fit, *chosen = sys.argv[1:]
    known = situations()
    pdl_path, fit_path = Path(pdl).resolve(), Path(fit).resolve()
    judged = lambda name: outcome(pdl_path, fit_path, known[name])  # noqa: E731
    outcomes.hold(HERE / "outcomes.tsv", chosen or known, judged, whole=not chosen)


if __name__ == "__main__":
    main()
