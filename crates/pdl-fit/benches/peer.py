"""Common parts of bench-step and bench-accuracy: running pdl-fit, and its peer, a training in PyTorch and MONAI.

The peer has the network of a run of pdl-fit (the plan in its run.json; tests/interop/u_net.py), its loss, optimiser,
gradient clipping, EMA and polynomial learning-rate schedule, in eager PyTorch on channels-last tensors. MONAI reads
the prepared volumes through the manifest's export, samples the patches and augments them.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import time

import torch
from monai import transforms
from monai.data import CacheDataset, DataLoader, list_data_collate, load_decathlon_datalist, set_track_meta
from safetensors.torch import load_file
from torch.nn import functional

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tests" / "interop"))
from u_net import u_net

THREADS = 2
# As in crates/pdl-fit/src/data/augment/{intensity,spatial}.rs.
OFTEN, NOISE, FACTOR, GAMMA, BLUR, KEPT = 0.15, 0.1, 0.25, (0.7, 1.5), (0.5, 1.0), (0.5, 1.0)
OFTEN_IN_SPACE, ANGLE, ZOOM, CELLS, BEND = 0.2, 30.0, (0.7, 1.4), 4, 0.2
SMOOTHING = 1e-5


def prepare_torch():
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    set_track_meta(False)  # plain tensors: MONAI is faster without its own


def program(*words):
    """Runs a program; returns its standard output and its seconds."""
    begin = time.perf_counter()
    done = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout, time.perf_counter() - begin


def train(fit, out, name, *flags):
    """Trains a new run with pdl-fit; returns its folder, its record and the seconds of the whole program."""
    words = ["--name", name, "--force", "--no-report", "--json", "--device", "cpu", "--threads", THREADS]
    _, seconds = program(fit, "train", out, *words, *flags)
    run = out / "runs" / name
    return run, json.loads((run / "run.json").read_text()), seconds


def datalist(pdl, out, folder):
    """A function that returns the cases of a section of the manifest's MONAI datalist."""
    program(pdl, "export", out, "--to", "monai", "--dest", folder)
    return lambda section: load_decathlon_datalist(str(folder / "datalist.json"), True, section)


def supervised(logits, target):
    """Deep-supervision loss, the finest level first: the weight halves from level to level; the weights sum to 1."""
    shares = [0.5**level for level in range(len(logits))]
    total = 0.0
    for share, of_level in zip(shares, logits):
        labels = target
        if of_level.shape[2:] != target.shape[1:]:
            labels = functional.interpolate(target[:, None].byte(), of_level.shape[2:])[:, 0].long()
        total = total + share / sum(shares) * dice_cross_entropy(of_level, labels)
    return total


def dice_cross_entropy(logits, target):
    """Mean cross-entropy plus one minus the mean soft Dice of the labels over the batch."""
    log_p = logits.log_softmax(1)
    p = log_p.exp()
    truth = torch.zeros_like(p).scatter_(1, target[:, None], 1.0)
    pixels = [0, *range(2, p.dim())]
    both, sizes = (p * truth).sum(pixels)[1:], (p + truth).sum(pixels)[1:]
    dice = (2 * both + SMOOTHING) / (sizes + SMOOTHING)
    return functional.nll_loss(log_p, target) + 1 - dice.mean()


def memory_format(plan):
    return {2: torch.channels_last, 3: torch.channels_last_3d}[plan["network"]["dims"]]


class Peer:
    """The network of a run with initial weights, and its training."""

    def __init__(self, run, record, seed=1):
        self.plan, self.settings = record["plan"], record["settings"]
        assert self.settings["optimiser"] == "adamw" and self.settings["lr_schedule"] == "poly", "not the peer's"
        assert not self.plan["swapped"], "the peer does not swap left and right"
        self.format = memory_format(self.plan)
        random = torch.Generator().manual_seed(seed)
        shapes = {name: value.shape for name, value in load_file(run / "weights.safetensors").items()}
        self.weights = {name: self.fresh(name, shape, random) for name, shape in shapes.items()}
        self.average = {name: value.detach().clone() for name, value in self.weights.items()}
        kernels = [value for value in self.weights.values() if value.dim() > 1]
        others = [value for value in self.weights.values() if value.dim() == 1 and value.requires_grad]
        decays = self.settings["weight_decay"]
        decays = 0.01 if decays is None else decays  # pdl-fit's default for AdamW
        groups = [{"params": kernels, "weight_decay": decays}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, fused=True)  # the fastest of its forms on a CPU
        self.trained, self.steps = [*kernels, *others], 0

    def fresh(self, name, shape, random):
        """Initial values: He et al. 2015 for kernels, as in pdl-fit."""
        if len(shape) > 1:
            value = torch.randn(shape, generator=random) * (2 / shape[1:].numel()) ** 0.5
            return (value.contiguous(memory_format=self.format) if len(shape) > 2 else value).requires_grad_()
        value = torch.full(shape, 1.0 if name.endswith(("norm.weight", "variance")) else 0.0)
        return value.requires_grad_(not name.endswith(("mean", "variance")))

    def step(self, images, target, done):
        """One step on images (N, 1, spatial ...) and channels (N, spatial ...) after the fraction `done` of the run."""
        images = images.contiguous(memory_format=self.format)
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan["rates"]["highest"] * (1 - done) ** 0.9
        loss = supervised(u_net(self.weights, self.plan["network"], images, training=True), target)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.settings["clip"])
        self.optimiser.step()
        self.steps += 1
        decay = min(self.settings["ema"], (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for average, value in zip(self.average.values(), self.weights.values()):
                average.lerp_(value, 1 - decay)
        return loss.item()

    def batch(self, drawn):
        """A batch from MONAI's patches, which are equally many per case; surplus patches are dropped."""
        batch = self.plan["batch"]
        return drawn["image"][:batch], drawn["label"][:batch, 0].long()


def loader(record, cases, steps, workers):
    """MONAI's data loader: all cases in memory, patches sampled and augmented by worker processes."""
    plan, settings = record["plan"], record["settings"]
    both, dims, patch = ["image", "label"], plan["network"]["dims"], plan["patch"]
    labels = [label["value"] for label in record["labels"]]
    samples = -(-plan["batch"] // settings["cases_per_step"])
    # Fraction of foreground patches, rounded as in pdl-fit; all labels of a case have equal
    # probability.
    on_label = math.ceil(plan["batch"] * settings["foreground"]) / plan["batch"]
    read = [
        transforms.LoadImaged(both, image_only=True, ensure_channel_first=True),
        transforms.Transposed(both, (0, 3, 2, 1)),  # to z, y, x
        transforms.SpatialPadd("image", patch, mode="minimum"),
        transforms.SpatialPadd("label", patch),
        transforms.MapLabelValued("label", labels, range(1, len(labels) + 1), dtype="uint8"),
        transforms.ClassesToIndicesd("label", num_classes=len(labels) + 1),
    ]
    draw = [
        transforms.RandCropByLabelClassesd(
            both,
            "label",
            patch,
            ratios=[1 - on_label, *[on_label / len(labels)] * len(labels)],
            num_classes=len(labels) + 1,
            num_samples=samples,
            indices_key="label_cls_indices",
            warn=False,
        ),
        transforms.SelectItemsd(both),
        *([transforms.SqueezeDimd(both, 1)] if dims == 2 else []),
    ]
    change = changes(both, plan["augment"] or settings["augment"], plan["mirror"], patch[3 - dims :])
    # No copies of the cached volumes are needed, as no later transform writes into them.
    data = CacheDataset(cases, transforms.Compose([*read, *draw, *change]), progress=False, copy_cache=False)
    drawn = torch.utils.data.RandomSampler(data, num_samples=steps * settings["cases_per_step"])
    return DataLoader(
        data,
        batch_size=settings["cases_per_step"],
        sampler=drawn,
        num_workers=workers,
        collate_fn=list_data_collate,
    )


def changes(both, kind, mirror, sides):
    """Augmentation as in pdl-fit. `light`: mirroring, noise, brightness, contrast and gamma; `full`: also
    rotation, scaling, elastic deformation, blur and low resolution."""
    if kind == "none":
        return []
    axes = [axis - (3 - len(sides)) for axis in range(3) if mirror[axis]]
    light = [
        *(transforms.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in axes),
        transforms.RandGaussianNoised("image", prob=OFTEN, std=NOISE),
        transforms.RandScaleIntensityd("image", factors=FACTOR, prob=OFTEN),
        transforms.RandScaleIntensityFixedMeand("image", factors=FACTOR, preserve_range=True, prob=OFTEN),
        transforms.RandAdjustContrastd("image", gamma=GAMMA, prob=OFTEN),
    ]
    if kind == "light":
        return light
    modes = {"mode": ("bilinear", "nearest"), "padding_mode": "border"}
    angle = math.radians(ANGLE)
    angles = {"range_x": angle} if len(sides) == 2 else dict.fromkeys(["range_x", "range_y", "range_z"], angle)
    cells = [side / CELLS for side in sides]
    bend = {"prob": OFTEN_IN_SPACE, "magnitude_range": (0.0, BEND * min(cells)), **modes}
    return [
        transforms.RandRotated(both, prob=OFTEN_IN_SPACE, **angles, **modes),
        transforms.RandZoomd(both, prob=OFTEN_IN_SPACE, min_zoom=ZOOM[0], max_zoom=ZOOM[1], mode=modes["mode"], padding_mode="edge"),
        transforms.Rand2DElasticd(both, spacing=cells, **bend)
        if len(sides) == 2
        else transforms.Rand3DElasticd(both, sigma_range=(min(cells) / 2, min(cells) / 2), **bend),
        *light,
        transforms.RandGaussianSmoothd("image", *[BLUR] * 3, prob=OFTEN),
        transforms.RandSimulateLowResolutiond(
            "image", prob=OFTEN, zoom_range=KEPT, upsample_mode="bilinear" if len(sides) == 2 else "trilinear"
        ),
    ]


def conditions():
    return f"{os.cpu_count()} cores, {THREADS} threads, PyTorch {torch.__version__}"


def verdict(met):
    return "met" if met else "NOT MET"
