"""`pdl compare` against other people's programs, on the same arrays, in one run: `just bench-compare`.

Volumes are made here (smooth noise behind a dark border, values in [0, 1]), so that the figures can be repeated
anywhere. Every peer is called as its users call it. Rates are pairs per second of wall time; those of `pdl compare`
are of the whole process, start, statistics and writing included, and beside them the rate that the difference
between two numbers of cases gives, which is the kernel's. All figures are medians of interleaved rounds.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import numpy
import pyarrow
from skimage.metrics import structural_similarity

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tests"))
import measure

try:
    import torch
except ImportError:  # the peers that need it are left out, and the report says so
    torch = None

SIDE = 64


def volume(rng, side):
    """Smooth noise in [0, 1] behind a dark border, as CT has."""
    cut = max(2, side // 8)
    noise = rng.standard_normal((cut,) * 3)
    place = numpy.linspace(0, cut - 1.001, side)
    low, share = place.astype(int), place - place.astype(int)
    for axis in range(3):
        near, far = numpy.take(noise, low, axis), numpy.take(noise, low + 1, axis)
        weight = share.reshape([-1 if a == axis else 1 for a in range(3)])
        noise = near * (1 - weight) + far * weight
    noise = 0.5 + 0.2 * noise + 0.02 * rng.standard_normal(noise.shape)
    z, y, x = numpy.ogrid[:side, :side, :side]
    middle = (side - 1) / 2
    inside = ((y - middle) / (0.45 * side)) ** 2 + ((x - middle) / (0.45 * side)) ** 2 < 1
    return numpy.where(inside, numpy.clip(noise, 0, 1), 0).astype(numpy.float32)


def proxies(out, count, side, seed=1):
    """A curation folder that holds nothing but proxies; gives the arrays."""
    rng = numpy.random.default_rng(seed)
    arrays = numpy.stack([volume(rng, side) for _ in range(count)])
    voxels = side**3
    item = pyarrow.field("item", pyarrow.float32(), nullable=False)
    schema = pyarrow.schema(
        [
            pyarrow.field("case_id", pyarrow.string(), nullable=False),
            pyarrow.field("voxels", pyarrow.list_(item, voxels), nullable=False),
        ],
        metadata={"shape": json.dumps([side] * 3), "grid": '["box",null]', "mapping": '"image-percentiles"'},
    )
    (out / "proxies").mkdir(parents=True)
    for number, first in enumerate(range(0, count, 1024)):
        part = arrays[first : first + 1024]
        ids = [f"case_{first + i:05}" for i in range(len(part))]
        keys = json.dumps([f"{seed:016x}{first + i:048x}"[::-1] for i in range(len(part))])
        path = out / "proxies" / f"{number:05}.arrow"
        options = dict(metadata={"row_keys": keys})
        with pyarrow.ipc.new_file(str(path), schema, **options) as writer:
            for start in range(0, len(part), 64):
                some = pyarrow.array(part[start : start + 64].ravel())
                lists = pyarrow.FixedSizeListArray.from_arrays(some, type=pyarrow.list_(item, voxels))
                writer.write(pyarrow.record_batch([pyarrow.array(ids[start : start + 64]), lists], schema=schema))
    return arrays


def pdl(program, out, *flags):
    """Seconds and peak MiB of a whole `pdl compare` from nothing."""
    shutil.rmtree(out / "pairs", ignore_errors=True)
    seconds, peak, _ = measure.must(program, "compare", str(out), *flags)
    return seconds, peak


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peers(arrays):
    """Name -> seconds for one pair, measured anew at each call."""
    a, b = arrays[0], arrays[1]
    gaussian = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    calls = {
        "scikit-image, uniform": lambda: timed(lambda: structural_similarity(a, b, data_range=1.0)),
        "scikit-image, Gaussian": lambda: timed(lambda: structural_similarity(a, b, data_range=1.0, **gaussian)),
    }
    if torch is not None:
        import pytorch_msssim
        from torchmetrics.functional.image import structural_similarity_index_measure

        batch = 4
        x = torch.from_numpy(arrays[:batch])[:, None]
        y = torch.from_numpy(arrays[batch : 2 * batch])[:, None]

        def metrics():
            structural_similarity_index_measure(x, y, data_range=1.0)

        def msssim():
            pytorch_msssim.ssim(x, y, data_range=1.0, size_average=False)

        def ours():
            torch_ssim(x, y)

        calls["torchmetrics, Gaussian"] = lambda: timed(metrics) / batch
        calls["pytorch_msssim, Gaussian"] = lambda: timed(msssim) / batch
        calls["our own PyTorch, Gaussian"] = lambda: timed(ours) / batch
    flat = arrays[:128].reshape(min(128, len(arrays)), -1)
    pairs = len(flat) * (len(flat) - 1) / 2
    calls["numpy's Gram product (inexact)"] = lambda: timed(lambda: flat @ flat.T) / pairs
    return calls


def torch_ssim(x, y):
    """Separable, windows wholly inside only, no gradient: the fastest formulation we know in plain PyTorch."""
    with torch.no_grad():
        place = torch.arange(11, dtype=torch.float32) - 5
        weights = torch.exp(-0.5 * (place / 1.5) ** 2)
        weights /= weights.sum()
        both = torch.cat([x, y, x * x + y * y, x * y])
        for axis in range(3):
            shape = [1, 1, 1, 1, 1]
            shape[2 + axis] = 11
            both = torch.nn.functional.conv3d(both, weights.view(shape))
        a, b, squares, product = both.chunk(4)
        ab, means = a * b, a * a + b * b
        value = (2 * ab + 1e-4) * (2 * (product - ab) + 9e-4) / ((means + 1e-4) * (squares - means + 9e-4))
        return value.mean(dim=(1, 2, 3, 4))


def peaks():
    """Multiply-adds and bytes read a second that this machine reaches, by numpy."""
    a = numpy.ones((1536, 1536), numpy.float32)
    flops = max(len(a) ** 3 / timed(lambda: a @ a) for _ in range(5))
    b = numpy.ones(1 << 27, numpy.float32)
    bytes_ = max(b.nbytes / timed(lambda: b.sum()) for _ in range(5))
    return flops, bytes_


def operations(side, window):
    """Float32 operations of the pair kernel for a pair of cubes, counted in its source (a fused one counts once)."""
    # Window, most windows along y and x of a column, operations of its filters a place along x and
    # y, and along z.
    length, height, width, across, along = {
        "uniform": (7, 15, 15, 18 / 7, 17 / 7),
        "Gaussian": (11, 18, 9, 11, 11),
    }[window]
    inner = side + 1 - length
    # Rows and places of a row of all columns, with what neighbours share.
    rows, places = (inner + -(-inner // most) * (length - 1) for most in (height, width))
    read, summed_x, summed_y = rows * places * side, rows * inner * side, inner**2 * side
    quotients = 20  # of SSIM and UQI, a division among them
    return 2 * read + side**3 + across * (summed_x + summed_y) + (along + quotients) * inner**3


def traffic(side, window):
    """Bytes that a pair of cubes brings into the second level of the cache, with 16 lanes."""
    # Window, most windows along y and x of a column, volumes a that share a chunk of the lanes.
    length, height, width, together = {"uniform": (7, 15, 15, 4), "Gaussian": (11, 18, 9, 2)}[window]
    inner = side + 1 - length
    rows, places = (inner + -(-inner // most) * (length - 1) for most in (height, width))
    means_and_spreads = 2 * inner**2 * -(-side // length) * length
    return 4 * (rows * places * side + means_and_spreads) * (1 / together + 1 / 16)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=3000, help="cases at 32^3 for the memory check; 0 leaves it out")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        few, all_ = words.cases // 2, words.cases
        arrays = proxies(folder / "all", all_, SIDE)
        proxies(folder / "few", few, SIDE)
        kinds = {
            "uniform": [],
            "Gaussian": ["--window", "gaussian"],
            "uniform, SSIM alone": ["--metrics", "ssim"],
            "MSE and PSNR": ["--metrics", "mse,psnr"],
        }
        calls = peers(arrays)
        seconds = {name: [] for name in [*calls, *kinds, *(f"{kind} few" for kind in kinds)]}
        for _ in range(words.rounds):
            for kind, flags in kinds.items():
                seconds[kind].append(pdl(words.program, folder / "all", *flags)[0])
                seconds[f"{kind} few"].append(pdl(words.program, folder / "few", *flags)[0])
            for name, call in calls.items():
                seconds[name].append(statistics.median(call() for _ in range(3)))
        pairs = lambda n: n * (n - 1) / 2
        of_peer = {name: 1 / statistics.median(seconds[name]) for name in calls}
        print(f"pairs of {SIDE}^3 a second, {os.cpu_count()} cores, medians of {words.rounds} interleaved rounds")
        for name, rate in of_peer.items():
            print(f"  {name:32} {rate:12.1f}")
        if torch is None:
            print("  torchmetrics, pytorch_msssim: not installed")
        against = {
            "uniform": ["scikit-image, uniform"],
            "Gaussian": ["scikit-image, Gaussian", *[n for n in calls if "torch" in n or "PyTorch" in n]],
            "uniform, SSIM alone": ["scikit-image, uniform"],
            "MSE and PSNR": ["numpy's Gram product (inexact)"],
        }
        flops, bytes_ = peaks()
        for kind in kinds:
            whole = statistics.median(seconds[kind])
            rate = pairs(all_) / whole
            kernel = (pairs(all_) - pairs(few)) / (whole - statistics.median(seconds[f"{kind} few"]))
            print(f"  pdl compare, {kind:19} {rate:12.1f}   without start and statistics {kernel:.1f}")
            for name in against[kind]:
                ratio = [of / (mine / pairs(all_)) for of, mine in zip(seconds[name], seconds[kind])]
                print(f"      {rate / of_peer[name]:8.2f} times {name} ({min(ratio):.2f} to {max(ratio):.2f}); kernel {kernel / of_peer[name]:.2f}")
            if kind in ("uniform", "Gaussian"):
                reached = kernel * operations(SIDE, kind)
                read = kernel * traffic(SIDE, kind)
                print(f"      {reached / 1e9:8.1f} G operations a second, {reached / flops:.2f} of numpy's multiply-adds")
                print(f"      {read / 1e9:8.1f} GB a second from beyond the second cache, {read / bytes_:.2f} of what numpy reads of memory")
        print(f"numpy reaches {flops / 1e9:.0f} G multiply-adds a second and reads {bytes_ / 1e9:.1f} GB a second")
        if words.many:
            proxies(folder / "many", words.many, 32)
            proxies(folder / "tenth", words.many // 10, 32)
            large, peak = pdl(words.program, folder / "many", "--memory", "512MiB")
            small = statistics.median(pdl(words.program, folder / "tenth", "--memory", "512MiB")[0] for _ in range(3))
            each, tenth = large / pairs(words.many), small / pairs(words.many // 10)
            size = sum(p.stat().st_size for p in (folder / "many" / "pairs").iterdir()) / pairs(words.many)
            print(
                f"{words.many} cases at 32^3 with --memory 512MiB: {large:.1f} s, peak {peak:.0f} MiB resident, "
                f"{each * 1e6:.1f} us a pair, {each / tenth:.2f} times that of {words.many // 10} cases; "
                f"{size:.1f} bytes a pair"
            )


if __name__ == "__main__":
    main()
