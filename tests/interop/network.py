"""Python's torch runs a network that pdl-fit trained: the README's loader as it stands there, on the TorchScript of
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
from torch.nn import functional

README = pathlib.Path(__file__).parents[2] / "README.md"


def u_net(weights, plan, x):
    """The network's logits, from its parameters by name."""
    conv = {2: functional.conv2d, 3: functional.conv3d}[plan["dims"]]
    up = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}[plan["dims"]]
    pool = {2: functional.max_pool2d, 3: functional.max_pool3d}[plan["dims"]]
    axes = range(3 - plan["dims"], 3)
    halved = lambda axis, level: plan["first_halved"][axis] <= level < plan["first_halved"][axis] + plan["halvings"][axis]
    strides = lambda level: [2 if halved(axis, level) else 1 for axis in axes]

    def block(name, x):
        kernel = weights[f"{name}.conv.weight"]
        x = conv(x, kernel, padding=[side // 2 for side in kernel.shape[2:]])
        scale, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        if plan["norm"] == "instance":
            return functional.instance_norm(x, weight=scale, bias=shift, eps=1e-5)
        return functional.batch_norm(x, weights[f"{name}.norm.mean"], weights[f"{name}.norm.variance"], scale, shift, eps=1e-5)

    def level(name, x):
        y = block(f"{name}.1", functional.leaky_relu(block(f"{name}.0", x)))
        if plan["residual"]:
            shortcut = weights.get(f"{name}.shortcut.weight")
            y = y + (x if shortcut is None else conv(x, shortcut))
        return functional.leaky_relu(y)

    skips = []
    for number in range(plan["depth"]):
        if number > 0:
            skips.append(x)
            x = pool(x, strides(number - 1), strides(number - 1))
        x = level(f"encoder.{number}", x)
    for number, skip in reversed(list(enumerate(skips))):
        x = up(x, weights[f"decoder.{number}.up.weight"], stride=strides(number))
        x = level(f"decoder.{number}", torch.cat([x, skip], 1))
    return conv(x, weights["head.weight"], weights["head.bias"])


def main():
    out, run = map(pathlib.Path, sys.argv[1:3])
    record = json.loads((run / "run.json").read_text())
    plan = record["plan"]["network"]
    network = torch.jit.load(run / "network.pt")
    stride = 2 ** max(plan["halvings"][3 - plan["dims"] :])
    images = torch.randn(3, plan["inputs"], *[3 * stride, 5 * stride, 4 * stride][3 - plan["dims"] :], generator=torch.Generator().manual_seed(1))
    logits, written_down = network(images), u_net(load_file(run / "weights.safetensors"), plan, images)
    difference = (logits - written_down).abs().max().item()
    assert logits.shape == written_down.shape and difference <= 1e-4, difference
    print(f"ok: TorchScript and safetensors give the same logits, to {difference:.1e}")

    section = README.read_text().split("## Using and measuring a network")[1].split("\n## ")[0]
    (loader,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    found = {}
    exec(loader.replace("out/ct/runs/pdl-seed1", str(run)).replace("out/ct", str(out)), found)
    truth = numpy.asanyarray(nibabel.load(str(found["case"]).replace("images", "labels")).dataobj).T
    both = ((found["labels"] > 0) & (truth > 0)).sum()
    dice = 2 * both / ((found["labels"] > 0).sum() + (truth > 0).sum())
    assert found["labels"].shape == truth.shape and dice > 0.8, dice
    print(f"ok: the README's loader segments a validation case, Dice of all labels as one {dice:.3f}")
    print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
