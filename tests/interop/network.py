"""Python's torch runs a network that pdl-fit trained: the loader of `pdl help loops` as it stands there, on the TorchScript of
`pdl-fit export`; the same U-Net written down in PyTorch from run.json and weights.safetensors gives the same logits, and so
does onnxruntime with the ONNX of `pdl-fit export --format onnx`; the package tensorboard reads the run's event files.

    python tests/interop/network.py OUT RUN

RUN is a finished run of a plane-wise network in the curation folder OUT, trained with --tensorboard and exported to
RUN/network.pt and RUN/network.onnx. What it needs is in
tests/interop/requirements*.txt. Ends with the line 'N passed, 0 failed', or with an error.
"""

import json
import pathlib
import re
import sys

import nibabel
import numpy
import onnx
import onnxruntime
import pyarrow.parquet
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
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

    check_onnx(run, record, images, logits)
    check_events(run, record)

    loader = re.findall(r"```python\n(.*?)```", LOOPS.read_text(), re.DOTALL)[-1]
    found = {}
    exec(loader.replace("out/ct/runs/pdl-seed1", str(run)).replace("out/ct", str(out)), found)
    truth = numpy.asanyarray(nibabel.load(str(found["case"]).replace("images", "labels")).dataobj).T
    both = ((found["labels"] > 0) & (truth > 0)).sum()
    dice = 2 * both / ((found["labels"] > 0).sum() + (truth > 0).sum())
    assert found["labels"].shape == truth.shape and dice > 0.8, dice
    print(f"ok: the loader segments a validation case, Dice of all labels as one {dice:.3f}")
    print("4 passed, 0 failed")


def check_onnx(run, record, images, logits):
    """onnxruntime gives the logits of TorchScript, for other sides and batches too."""
    model = onnx.load(run / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["labels"] == [label["name"] for label in record["labels"]], metadata
    session = onnxruntime.InferenceSession(run / "network.onnx", providers=["CPUExecutionProvider"])
    stride = 2 ** max(record["plan"]["network"]["halvings"])
    smaller = images[:1, ..., :stride]
    for images, expected in [(images, logits), (smaller, torch.jit.load(run / "network.pt")(smaller))]:
        found = session.run(["logits"], {"image": images.numpy()})[0]
        difference = numpy.abs(found - expected.detach().numpy()).max()
        assert found.shape == tuple(expected.shape) and difference <= 1e-4, difference
        print(f"ok: onnxruntime gives the logits of TorchScript for {tuple(images.shape)}, to {difference:.1e}")


def check_events(run, record):
    """TensorBoard reads the Dice of history.parquet, the loss of every step and pictures of validation cases."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()
    history = pyarrow.parquet.read_table(run / "history.parquet").to_pylist()
    dice = [(event.step, event.value) for event in events.Scalars("dice/mean")]
    assert numpy.allclose(dice, [(row["step"], row["dice_mean"]) for row in history]), dice
    steps = [event.step for event in events.Scalars("loss/step")]
    assert steps == list(range(1, record["results"]["steps"] + 1)), steps
    tags = events.Tags()["images"]
    assert len(tags) == min(3, record["validation_cases"]), tags
    for tag in tags:
        images = events.Images(tag)
        assert len(images) == len(history) and all(image.encoded_image_string.startswith(b"\x89PNG") for image in images)
    print(f"ok: TensorBoard reads {len(dice)} evaluations, {len(steps)} losses and pictures of {len(tags)} cases")


if __name__ == "__main__":
    main()
