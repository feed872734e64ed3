"""The loops of `pdl help loops` follow the curriculum: each block is run as it stands there.

    python tests/interop/loops.py OUT [MODULE...]

OUT is the curation folder that the blocks call out/ct. Without modules all are tried: torch, monai, datasets; what
they need is in tests/interop/requirements*.txt. Only the epochs are cut short: the first of each stage and the one before it.
Ends with the line 'N passed, 0 failed', or with an error.
"""

import json
import pathlib
import re
import sys

import nibabel
import numpy

ROOT = pathlib.Path(__file__).parents[2]
MODULES = ["torch", "monai", "datasets"]


def blocks():
    found = re.findall(r"```python\n(.*?)```", (ROOT / "crates/pdl/help/loops.md").read_text(), re.DOTALL)
    assert len(found) == len(MODULES) + 1, found  # the last one runs a network
    for module, block in zip(MODULES, found):
        assert re.match(rf"import .*\b{module}\b", block), block
    return dict(zip(MODULES, found))


def prepared(out):
    """Checksums of the prepared images and labels."""
    paths = [*(out / "prepared/images").iterdir(), *(out / "prepared/labels").iterdir()]
    return {round(float(numpy.asarray(nibabel.load(path).dataobj, dtype=float).sum()), 3) for path in paths}


def main():
    out, modules = pathlib.Path(sys.argv[1]), sys.argv[2:] or MODULES
    stages = json.loads((out / "manifest.json").read_text())["stages"]
    sums, passed = prepared(out), 0
    for module in modules:
        block = blocks()[module].replace("out/ct/", f"{out}/")
        for stage in stages:
            epochs = [epoch for epoch in (stage["first_epoch"] - 1, stage["first_epoch"]) if epoch >= 0]
            seen = {"range": lambda count: [epoch for epoch in epochs if epoch < count]}
            exec(block, seen)
            assert seen["epoch"] == stage["first_epoch"], (module, stage)
            assert len(seen["active"]) == stage["active_cases"], (module, stage)
            for volume in (seen["image"], seen["label"]):
                assert round(float(numpy.asarray(volume, dtype=float).sum()), 3) in sums, (module, stage)
            passed += 1
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
