"""Steps of Muon with AdamW for the outer parameters, for crates/pdl-fit/src/optim/muon.rs, written down in NumPy in float64.

    python tests/golden/scripts/muon.py > tests/golden/data/muon.json      # numpy 2.4

With --torch it compares the steps with torch.optim.Muon instead (torch 2.13), whose rounding to bfloat16 is left out.
"""

import json
import sys

import numpy

MOMENTUM, WEIGHT_DECAY, CLIP = 0.95, 0.1, 5.0
RATES = [0.02, 0.015, 0.01]
PARAMETERS = [
    ("encoder.0.0.conv.weight", (4, 1, 3, 3), "outer"),
    ("encoder.0.0.norm.weight", (4,), "outer"),
    ("encoder.0.1.conv.weight", (4, 4, 3, 3), "inner"),
    ("encoder.1.0.conv.weight", (8, 4, 3, 3), "inner"),
    ("decoder.0.up.weight", (8, 4, 2, 2), "inner-transposed"),  # (in, out, ...)
    ("decoder.0.0.conv.weight", (4, 8, 3, 3), "inner"),
    ("decoder.0.1.conv.weight", (4, 4, 3, 3), "inner"),
    ("decoder.0.shortcut.weight", (8, 4, 1, 1), "inner"),  # taller than wide
    ("volume.conv.weight", (4, 4, 3, 3, 3), "inner"),
    ("head.weight", (3, 4, 1, 1), "outer"),
    ("head.bias", (3,), "outer"),
]


def newton_schulz(x):
    x = x / max(numpy.linalg.norm(x), 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x


def muon(kernel, role, momentum, gradient):
    """The change for a learning rate of 1 without weight decay, and the new momentum."""
    momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
    nesterov = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
    if role == "inner-transposed":
        nesterov = nesterov.swapaxes(0, 1)
    matrix = nesterov.reshape(len(nesterov), -1)  # outputs x rest
    update = newton_schulz(matrix) * 0.2 * max(matrix.shape) ** 0.5
    update = update.reshape(nesterov.shape)
    return (update.swapaxes(0, 1) if role == "inner-transposed" else update), momentum


def adamw(mean, square, gradient, step):
    mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
    return mean / (1 - 0.9**step) / (numpy.sqrt(square / (1 - 0.999**step)) + 1e-8), mean, square


def draw(random, scale):
    return [(scale * random.standard_normal(shape)).astype(numpy.float32).round(4) for _, shape, _ in PARAMETERS]


def golden():
    random = numpy.random.default_rng(1)
    initial = draw(random, 0.3)
    weights = [value.astype(float) for value in initial]
    state = [(numpy.zeros(shape), numpy.zeros(shape)) for _, shape, _ in PARAMETERS]
    steps = []
    # the first gradient is clipped
    for number, (lr, scale) in enumerate(zip(RATES, [1.0, 0.1, 0.3]), 1):
        gradients = draw(random, scale)
        norm = sum((gradient.astype(float) ** 2).sum() for gradient in gradients) ** 0.5
        changes = []
        for place, (_, shape, role) in enumerate(PARAMETERS):
            gradient = gradients[place].astype(float) * min(1.0, CLIP / (norm + 1e-6))
            first, second = state[place]
            if role == "outer":
                update, first, second = adamw(first, second, gradient, number)
            else:
                update, first = muon(weights[place], role, first, gradient)
            state[place] = first, second
            decay = WEIGHT_DECAY * weights[place] if len(shape) > 1 else 0.0
            changes.append(-lr * (update + decay))
            weights[place] = weights[place] + changes[-1]
        steps.append({"lr": lr, "norm": norm, "gradient": gradients, "change": changes})
    return initial, steps


def compare_with_torch(initial, steps):
    import torch

    torch.Tensor.bfloat16 = torch.Tensor.double
    for place, (name, shape, role) in enumerate(PARAMETERS):
        if role == "outer":
            continue
        flatten = lambda value: torch.tensor(numpy.asarray(value, float).swapaxes(0, 1 if role == "inner-transposed" else 0).copy()).flatten(1)
        weight = torch.nn.Parameter(flatten(initial[place]))
        optimiser = torch.optim.Muon([weight], lr=1, weight_decay=WEIGHT_DECAY, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
        for step in steps:
            before = weight.detach().clone()
            weight.grad = flatten(step["gradient"][place]) * min(1.0, CLIP / (step["norm"] + 1e-6))
            optimiser.param_groups[0]["lr"] = step["lr"]
            optimiser.step()
            change = flatten(step["change"][place])
            apart = ((weight.detach() - before - change).norm() / change.norm()).item()
            print(f"{name}: {apart:.1e}")
            assert apart < 1e-6, apart


def main():
    initial, steps = golden()
    if "--torch" in sys.argv:
        return compare_with_torch(initial, steps)
    values = lambda arrays: [[float(f"{value:.7g}") for value in array.ravel()] for array in arrays]
    parameters = [{"name": name, "shape": shape, "role": role} for name, shape, role in PARAMETERS]
    steps = [{**step, "gradient": values(step["gradient"]), "change": values(step["change"])} for step in steps]
    figures = {"momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY, "clip": CLIP}
    print(json.dumps({**figures, "parameters": parameters, "initial": values(initial), "steps": steps}))


if __name__ == "__main__":
    main()
