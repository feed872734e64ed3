"""pdl-fit's U-Net written down in PyTorch, from the plan in run.json and parameters named as in weights.safetensors."""

import torch
from torch.nn import functional


def strides(plan, level):
    """By how much each axis shrinks from a level to the next."""
    halved = lambda axis: plan["first_halved"][axis] <= level < plan["first_halved"][axis] + plan["halvings"][axis]
    return [2 if halved(axis) else 1 for axis in range(3 - plan["dims"], 3)]


def u_net(weights, plan, x, training=False):
    """The logits of all levels that have a head, the finest first."""
    conv = {2: functional.conv2d, 3: functional.conv3d}[plan["dims"]]
    up = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}[plan["dims"]]
    pool = {2: functional.max_pool2d, 3: functional.max_pool3d}[plan["dims"]]

    def block(name, x):
        kernel = weights[f"{name}.conv.weight"]
        x = conv(x, kernel, padding=[side // 2 for side in kernel.shape[2:]])
        scale, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        if plan["norm"] == "instance":
            # Instance norm, as one group a channel: `functional.instance_norm` gives up
            # channels-last memory.
            return functional.group_norm(x, len(scale), scale, shift, eps=1e-5)
        figures = weights[f"{name}.norm.mean"], weights[f"{name}.norm.variance"]
        return functional.batch_norm(x, *figures, scale, shift, training=training, eps=1e-5)

    def level(name, x):
        y = block(f"{name}.1", functional.leaky_relu(block(f"{name}.0", x), inplace=True))
        if plan["residual"]:
            shortcut = weights.get(f"{name}.shortcut.weight")
            y = y + (x if shortcut is None else conv(x, shortcut))
        return functional.leaky_relu(y, inplace=True)

    def head(name, x):
        return conv(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = level("encoder.0", x)
    skips, logits = [], []
    for number in range(1, plan["depth"]):
        skips.append(x)
        halved = strides(plan, number - 1)
        x = level(f"encoder.{number}", pool(x, halved, halved))
    for number, skip in reversed(list(enumerate(skips))):
        x = up(x, weights[f"decoder.{number}.up.weight"], stride=strides(plan, number))
        x = level(f"decoder.{number}", torch.cat([x, skip], 1))
        if number > 0 and f"head.{number}.weight" in weights:
            logits.append(head(f"head.{number}", x))
    return [head("head", x), *reversed(logits)]
