"""Dice on the test split, on the native grids, of pdl-fit and of a MONAI script that trains the same network on the
same prepared volumes for as long: `just bench-accuracy`.

pdl-fit trains for about --seconds, evaluation left out, and the peer for as long as that took; the rest is pdl-fit's
default plan for the folder. pdl-fit follows the manifest's curriculum unless flags say otherwise, the peer draws from
all training cases alike, in samples of full size. Both place the same share of their samples on a label, which is
chosen first, as likely as any other of its case; then MONAI chooses one of its voxels, pdl-fit one of its planes and
then a voxel there. The other samples lie anywhere for pdl-fit, on background for MONAI. MONAI's seconds begin with
the first step and hold the waiting for its worker processes; its learning rate falls with them. Dice is cohort Dice: 2|A and
B| / (|A| + |B|) of each case and label (left out where both are empty), averaged over cases, then over labels.
pdl-fit's is computed anew from the files that `pdl-fit predict` makes of the test images, and must be what `pdl-fit
evaluate` says to 1e-4. That both are measured alike is tried, too: pdl-fit's weights must have that Dice by the
peer's evaluation.

Flags that this program does not know go to `pdl-fit train` (such as --augment full, which the peer then follows).
"""

import argparse
import itertools
import json
import pathlib
import tempfile
import time

import nibabel
import numpy
import peer
import pyarrow.parquet
import torch
from monai.inferers import sliding_window_inference
from safetensors.torch import load_file
from torch.nn import functional
from u_net import u_net

NAME = "bench-accuracy"
# On the hippocampus MR and the head and neck CT cohort, after an hour.
WANTED = {"MR": 0.87, "CT": 0.74}
BETTER_AT_MOST = 0.005
APART_AT_MOST = 1e-4
SAME = 0.002  # of two evaluations: averaged and interpolated in another order, a few voxels differ
PLANES = 8  # windows of them that go through the network at once
MANY_STEPS = 10**7  # more than any budget holds


def voxels(path):
    return numpy.asanyarray(nibabel.load(path).dataobj)


def test_cases(out, cases):
    """The test cases, with the volumes as they came and the grid that they count on."""
    table = {row["case_id"]: row for row in pyarrow.parquet.read_table(out / "cases.parquet").to_pylist()}
    for case in cases("testing"):
        row = table[case["case_id"]]
        affine = numpy.array(row["affine"]).reshape(4, 4)
        yield {**case, "original": out / row["image"], "truth": voxels(out / row["label"]), "affine": affine}


def dice(prediction, truth, labels):
    """Of each label of a case; NaN where it is absent from both."""
    pairs = [(prediction == label["value"], truth == label["value"]) for label in labels]
    sizes = [(2 * (a & b).sum(), a.sum() + b.sum()) for a, b in pairs]
    return [both / size if size else numpy.nan for both, size in sizes]


def cohort(of_cases):
    """Means over the cases, and over these at the end."""
    labels = numpy.nanmean(of_cases, axis=0)
    return [*labels, numpy.nanmean(labels)]


def fit_dice(words, run, record, tests, folder):
    """pdl-fit's, as `evaluate` says and anew from the files of `predict`."""
    said, _ = peer.program(words.fit, "evaluate", run, "--split", "test", "--json", "--device", "cpu")
    evaluated = [row["dice"] for row in json.loads(said)]
    peer.program(words.fit, "predict", run, *(test["original"] for test in tests), "--out", folder, "--device", "cpu")
    predicted = [voxels(folder / test["original"].name) for test in tests]
    return evaluated, cohort([dice(a, test["truth"], record["labels"]) for a, test in zip(predicted, tests)])


def train_monai(trained, record, cases, seconds, workers):
    """Trains for so many seconds; gives them as they were."""
    drawn = iter(peer.loader(record, cases("training"), MANY_STEPS, workers))
    begin, over = time.perf_counter(), 0.0
    while over < seconds:
        trained.step(*trained.batch(next(drawn)), over / seconds)
        over = time.perf_counter() - begin
    return over


@torch.no_grad()
def probabilities(weights, plan, image):
    """(1, channels, z, y, x) of a prepared image (z, y, x)."""
    network, form = plan["network"], peer.memory_format(plan)
    apply = lambda x: u_net(weights, network, x.contiguous(memory_format=form))[0].softmax(1)
    window = dict(predictor=apply, overlap=0.5, mode="gaussian", cval=image.min().item())
    if network["dims"] == 3:
        return sliding_window_inference(image[None, None], plan["patch"], 1, **window)
    planes = sliding_window_inference(image[:, None], plan["patch"][1:], PLANES, **window)
    return planes.transpose(0, 1)[None]


def peer_dice(weights, record, tests):
    """By the peer's own evaluation, on the native grids, whose boxes the prepared volumes fill."""
    assert record["preparation"]["crop"] == "none", "the peer does not put cropped volumes back"
    values = numpy.array([0, *(label["value"] for label in record["labels"])])
    of_cases = []
    for test in tests:
        truth = nibabel.as_closest_canonical(nibabel.Nifti1Image(test["truth"], test["affine"]))
        truth = numpy.asarray(truth.dataobj).T  # z, y, x of RAS+
        image = torch.from_numpy(numpy.ascontiguousarray(voxels(test["image"]).T, dtype=numpy.float32))
        p = probabilities(weights, record["plan"], image).contiguous()
        p = functional.interpolate(p, truth.shape, mode="trilinear")
        of_cases.append(dice(values[p.max(1)[1][0].numpy()], truth, record["labels"]))
    return cohort(of_cases)


def bench(words, flags, out, folder):
    run, record, _ = peer.train(words.fit, out, NAME, "--seconds", words.seconds, *flags)
    cases = peer.datalist(words.pdl, out, folder / "monai")
    tests = list(test_cases(out, cases))
    evaluated, anew = fit_dice(words, run, record, tests, folder / "predicted")
    trained, results = peer.Peer(run, record), record["results"]
    seconds = train_monai(trained, record, cases, results["training_seconds"], words.workers)
    theirs = peer_dice(trained.average, record, tests)
    ours_by_peer = peer_dice(load_file(run / "weights.safetensors"), record, tests)
    assert numpy.allclose(ours_by_peer, evaluated, atol=SAME), f"two measures: {ours_by_peer} by the peer, {evaluated}"

    print(
        f"{out}: {len(tests)} test cases; pdl-fit trained for {results['training_seconds']:.0f} s "
        f"({results['steps']} steps), MONAI for {seconds:.0f} s ({trained.steps} steps)"
    )
    names = [*(label["name"] for label in record["labels"]), "mean"]
    width = max(map(len, names))
    print(f"  {'Dice':{width}}  pdl-fit    anew   MONAI")
    for name, *figures in itertools.zip_longest(names, evaluated, anew, theirs):
        print(f"  {name:{width}}  " + "  ".join(f"{figure:6.4f}" for figure in figures))
    mean, apart = evaluated[-1], max(abs(a - b) for a, b in zip(evaluated, anew))
    wanted = WANTED[record["preparation"]["modality"]]
    print(f"  mean {mean:.4f}; wanted: at least {wanted}: {peer.verdict(mean >= wanted)}")
    better = theirs[-1] - mean
    print(f"  MONAI better by {better:.4f}; wanted: at most {BETTER_AT_MOST}: {peer.verdict(better <= BETTER_AT_MOST)}")
    alike = peer.verdict(apart <= APART_AT_MOST)
    print(f"  evaluate and anew {apart:.1e} apart; wanted: at most {APART_AT_MOST}: {alike}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl")
    parser.add_argument("fit")
    parser.add_argument("outs", nargs="+", type=pathlib.Path, help="curated folders")
    parser.add_argument("--seconds", type=float, default=3600, help="of pdl-fit's training, about")
    parser.add_argument("--workers", type=int, default=2, help="MONAI's worker processes")
    words, flags = parser.parse_known_args()
    peer.prepare_torch()
    print(peer.conditions())
    for out in words.outs:
        with tempfile.TemporaryDirectory() as folder:
            bench(words, flags, out, pathlib.Path(folder))


if __name__ == "__main__":
    main()
