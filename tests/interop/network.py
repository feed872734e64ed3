"""Python's torch runs a network that pdl-fit trained: the loader of `pdl help loops` as it stands there, on the TorchScript of
`pdl-fit export`; and the same U-Net written down in PyTorch from run.json and weights.safetensors gives the same logits.

    python tests/interop/network.py OUT RUN

RUN is a finished run of a plane-wise network in the curation folder OUT, exported to RUN/network.pt. What it needs is in
tests/interop/requirements*.txt. Ends with the line 'N passed, 0 failed', or with an error.
"""

import json
import pathlib
import re
import sys

import nibabel
import numpy
import torch
from safetensors.torch import load_file
from u_net import u_net

LOOPS = pathlib.Path(__file__).parents[2] / "crates/pdl/help/loops.md"


def main():
    out, run = map(pathlib.Path, sys.argv[1:3])
    record = json.loads((run / "run.json").read_text())
    plan = record["plan"]["network"]
    network = torch.jit.load(run / "network.pt")
    stride = 2 ** max(plan["halvings"][3 - plan["dims"] :])
    images = torch.randn(3, plan["inputs"], *[3 * stride, 5 * stride, 4 * stride][3 - plan["dims"] :], generator=torch.Generator().manual_seed(1))
    logits, written_down = network(images), u_net(load_file(run / "weights.safetensors"), plan, images)[0]
    difference = (logits - written_down).abs().max().item()
    assert logits.shape == written_down.shape and difference <= 1e-4, difference
    print(f"ok: TorchScript and safetensors give the same logits, to {difference:.1e}")

    loader = re.findall(r"```python\n(.*?)```", LOOPS.read_text(), re.DOTALL)[-1]
    found = {}
    exec(loader.replace("out/ct/runs/pdl-seed1", str(run)).replace("out/ct", str(out)), found)
    truth = numpy.asanyarray(nibabel.load(str(found["case"]).replace("images", "labels")).dataobj).T
    both = ((found["labels"] > 0) & (truth > 0)).sum()
    dice = 2 * both / ((found["labels"] > 0).sum() + (truth > 0).sum())
    assert found["labels"].shape == truth.shape and dice > 0.8, dice
    print(f"ok: the loader segments a validation case, Dice of all labels as one {dice:.3f}")
    print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
