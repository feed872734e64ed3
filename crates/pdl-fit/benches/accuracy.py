"""Test-set Dice on the original grids of pdl-fit and of a MONAI script that trains the same network on the same
prepared volumes for the same time: `just bench-accuracy`.

pdl-fit trains for about --seconds without evaluations, and the peer for the time that this took; otherwise both use
pdl-fit's default plan for the folder. pdl-fit follows the manifest's curriculum unless flags change it; the peer draws
all training cases equally often, in patches of full size. Both place the same fraction of their patches on a label,
which is selected first with equal probability among those of the case; then MONAI selects one of its voxels, pdl-fit
one of its planes and a voxel in it. Other patches lie anywhere in pdl-fit, on background in MONAI. MONAI's time starts
with the first step and includes waiting for its workers; its learning rate depends on that time. Dice is cohort Dice:
2|A and B| / (|A| + |B|) of each case and label (ignored if both are empty), averaged over cases, then over labels.
pdl-fit's is computed from the files of `pdl-fit predict` and must agree with `pdl-fit evaluate` to 1e-4. The peer's
evaluation of pdl-fit's weights must give the same Dice, so that both are measured in the same way.

Unknown flags are passed to `pdl-fit train` (such as --augment full, which the peer then follows).
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
    """The test cases with their original volumes and affines."""
    table = {row["case_id"]: row for row in pyarrow.parquet.read_table(out / "cases.parquet").to_pylist()}
    for case in cases("testing"):
        row = table[case["case_id"]]
        affine = numpy.array(row["affine"]).reshape(4, 4)
        yield {**case, "original": out / row["image"], "truth": voxels(out / row["label"]), "affine": affine}


def dice(prediction, truth, labels):
    """Dice of each label of a case; NaN if it is absent from both."""
    pairs = [(prediction == label["value"], truth == label["value"]) for label in labels]
    sizes = [(2 * (a & b).sum(), a.sum() + b.sum()) for a, b in pairs]
    return [both / size if size else numpy.nan for both, size in sizes]


def cohort(of_cases):
    """Means over the cases for each label, then the mean over the labels."""
    labels = numpy.nanmean(of_cases, axis=0)
    return [*labels, numpy.nanmean(labels)]


def fit_dice(words, run, record, tests, folder):
    """Dice of pdl-fit, from `evaluate` and computed from the files of `predict`."""
    said, _ = peer.program(words.fit, "evaluate", run, "--split", "test", "--json", "--device", "cpu")
    evaluated = [row["dice"] for row in json.loads(said)]
    peer.program(words.fit, "predict", run, *(test["original"] for test in tests), "--out", folder, "--device", "cpu")
    predicted = [voxels(folder / test["original"].name) for test in tests]
    return evaluated, cohort([dice(a, test["truth"], record["labels"]) for a, test in zip(predicted, tests)])


def train_monai(trained, record, cases, seconds, workers):
    """Trains for `seconds`; returns the seconds that it took."""
    drawn = iter(peer.loader(record, cases("training"), MANY_STEPS, workers))
    begin, over = time.perf_counter(), 0.0
    while over < seconds:
        trained.step(*trained.batch(next(drawn)), over / seconds)
        over = time.perf_counter() - begin
    return over


@torch.no_grad()
def probabilities(weights, plan, image):
    """Probabilities (1, channels, z, y, x) of a prepared image (z, y, x)."""
    network, form = plan["network"], peer.memory_format(plan)
    apply = lambda x: u_net(weights, network, x.contiguous(memory_format=form))[0].softmax(1)
    window = dict(predictor=apply, overlap=0.5, mode="gaussian", cval=image.min().item())
    if network["dims"] == 3:
        return sliding_window_inference(image[None, None], plan["patch"], 1, **window)
    planes = sliding_window_inference(image[:, None], plan["patch"][1:], PLANES, **window)
    return planes.transpose(0, 1)[None]


def peer_dice(weights, record, tests):
    """Dice by the peer's evaluation on the original grids, whose boxes the prepared volumes fill."""
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
