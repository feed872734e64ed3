"""Time of a step against the same network in PyTorch, and patches per second against MONAI: `just bench-step`.

Seconds per step: pdl-fit trains with its default plan for each curated folder, and evaluates in the middle and at the
end; the steps between the two evaluations count, as recorded in its history (including the data loader's thread, and
waiting for it). The peer, eager PyTorch of the same version with its fastest norm and optimiser, repeats the step on
one batch in memory without a data loader. Blocks of both alternate. PyTorch's threads and memory have its defaults:
its threads spin while they wait, and freed memory returns to the kernel; pdl-fit's threads sleep after a while, and
it retains the memory. Other load on the machine distorts the ratio.

Patches per second, end to end, with pdl-fit's `--augment light` and MONAI's transforms of the same probabilities: from
the start of the program to its end without evaluations for pdl-fit; from the datalist to the last step, without the
start of Python and imports, for MONAI, which has the cases in memory and samples in worker processes.
"""

import argparse
import pathlib
import shutil
import statistics
import tempfile
import time

import peer
import pyarrow.parquet
import torch

NAME = "bench-step"
STEP_AT_MOST, END_TO_END_AT_LEAST = 1.0, 1.3


def fit_steps(fit, out, steps):
    """Seconds per step of pdl-fit, after equally many warm-up steps; and the run."""
    run, record, _ = peer.train(fit, out, NAME, "--steps", 2 * steps, "--eval-every", steps)
    middle, end = pyarrow.parquet.read_table(run / "history.parquet")["seconds"].to_pylist()
    return (end - middle) / steps, run, record


def peer_steps(trained, batch, steps):
    begin = time.perf_counter()
    for _ in range(steps):
        trained.step(*batch, 0.0)
    return (time.perf_counter() - begin) / steps


def a_batch(record):
    """Noise with the shape of a batch: a step takes the same time as on an image."""
    plan = record["plan"]
    sides = plan["patch"][3 - plan["network"]["dims"] :]
    random = torch.Generator().manual_seed(1)
    target = torch.randint(plan["network"]["classes"], (plan["batch"], *sides), generator=random)
    return torch.randn(plan["batch"], 1, *sides, generator=random), target


def fit_end_to_end(fit, out, steps):
    """Patches per second of a whole training; and the run."""
    run, record, seconds = peer.train(fit, out, NAME, "--augment", "light", "--steps", steps, "--eval-every", steps)
    return steps * record["plan"]["batch"] / (seconds - record["results"]["evaluation_seconds"]), run, record


def monai_end_to_end(run, record, cases, steps, workers):
    begin = time.perf_counter()
    trained = peer.Peer(run, record)
    for number, drawn in enumerate(peer.loader(record, cases("training"), steps, workers)):
        trained.step(*trained.batch(drawn), number / steps)
    return steps * record["plan"]["batch"] / (time.perf_counter() - begin)


def told(figures, places):
    return f"{statistics.median(figures):.{places}f} ({min(figures):.{places}f} to {max(figures):.{places}f})"


def bench(words, out, folder):
    _, run, record = fit_steps(words.fit, out, 2)
    plan = record["plan"]
    network, sides = plan["network"], " x ".join(map(str, plan["patch"]))
    samples = f"{plan['batch']} samples of {sides} (z, y, x)"
    print(f"{out}: {network['dims']}-D U-Net of {network['depth']} levels, {samples}", flush=True)
    batch, trained = a_batch(record), peer.Peer(run, record)
    peer_steps(trained, batch, words.steps)  # warms up
    ours, theirs = [], []
    for _ in range(words.rounds):
        ours.append(fit_steps(words.fit, out, words.steps)[0])
        theirs.append(peer_steps(trained, batch, words.steps))
    ratio = [a / b for a, b in zip(ours, theirs)]
    for who, seconds in (("pdl-fit", ours), ("PyTorch, eager", theirs)):
        print(f"  {who:14}  {told([1000 * s for s in seconds], 1)} ms a step")
    met = peer.verdict(statistics.median(ratio) <= STEP_AT_MOST)
    print(f"  ratio {told(ratio, 3)}; wanted: at most {STEP_AT_MOST}: {met}", flush=True)

    cases = peer.datalist(words.pdl, out, folder)
    ours, theirs = [], []
    for _ in range(words.rounds):
        rate, run, record = fit_end_to_end(words.fit, out, words.end_steps)
        ours.append(rate)
        theirs.append(monai_end_to_end(run, record, cases, words.end_steps, words.workers))
    ratio = [a / b for a, b in zip(ours, theirs)]
    for who, rates in (("pdl-fit", ours), ("MONAI", theirs)):
        print(f"  {who:14}  {told(rates, 1)} samples a second, end to end")
    met = peer.verdict(statistics.median(ratio) >= END_TO_END_AT_LEAST)
    print(f"  ratio {told(ratio, 2)}; wanted: at least {END_TO_END_AT_LEAST}: {met}", flush=True)
    shutil.rmtree(run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pdl")
    parser.add_argument("fit")
    parser.add_argument("outs", nargs="+", type=pathlib.Path, help="curated folders")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="of a block")
    parser.add_argument("--end-steps", type=int, default=300, help="of a whole training")
    parser.add_argument("--workers", type=int, default=2, help="MONAI's worker processes")
    words = parser.parse_args()
    peer.prepare_torch()
    print(f"{peer.conditions()}; medians of {words.rounds} rounds (least to most)")
    for out in words.outs:
        with tempfile.TemporaryDirectory() as folder:
            bench(words, out, pathlib.Path(folder))


if __name__ == "__main__":
    main()
