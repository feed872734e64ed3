"""Synthetic sample cohorts, as in the repository's `sample-data`.

`python -m pdl.samples ct` prints the folder of one, for `pdl curate`.
"""

import pathlib
import sys

NAMES = ("ct", "mr")


def path(name: str) -> pathlib.Path:
    """The folder of a sample cohort, `ct` or `mr`: 24 synthetic cases with label maps.

    >>> import pdl.samples
    >>> sorted(entry.name for entry in pdl.samples.path("ct").iterdir())
    ['cohort.csv', 'dataset.json', 'images', 'labels']
    """
    if name not in NAMES:
        raise ValueError(f"invalid name: expected {' or '.join(NAMES)}, found {name!r}")
    return pathlib.Path(__file__).parent / "sample_data" / name


def main(words: "list[str]") -> int:
    """Print the folder of the sample cohort that is named; return the exit code."""
    if len(words) != 1 or words[0] not in NAMES:
        print(f"usage: python -m pdl.samples {'|'.join(NAMES)}", file=sys.stderr)
        return 2
    print(path(words[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
