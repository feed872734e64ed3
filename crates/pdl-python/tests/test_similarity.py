"""Similarities of arrays, beside scikit-image's."""

import multiprocessing
import signal
import subprocess
import sys
import threading
import time

import numpy
import pyarrow.ipc
import pytest
from skimage.metrics import structural_similarity

import pdl

GAUSSIAN = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
FORK = "fork" in multiprocessing.get_all_start_methods()


def smooth(rng: numpy.random.Generator, shape: "tuple[int, ...]") -> numpy.ndarray:
    """Noise with neighbours alike, in [0, 1]."""
    noise = rng.random(shape)
    for axis in range(noise.ndim):
        noise = (noise + numpy.roll(noise, 1, axis) + numpy.roll(noise, 2, axis)) / 3
    return noise.astype("float32")


@pytest.mark.parametrize("window, options", [("uniform", {}), ("gaussian", GAUSSIAN)])
@pytest.mark.parametrize("shape", [(12, 17, 23), (32, 32, 32), (40, 33)])
@pytest.mark.parametrize("scale, shift, dtype", [(1, 0, "float32"), (4000, -1024, "int16"), (6, -3, "float64")])
def test_ssim_is_that_of_scikit_image(window, options, shape, scale, shift, dtype) -> None:
    rng = numpy.random.default_rng(7)
    a, b = ((scale * smooth(rng, shape) + shift).astype(dtype) for _ in range(2))
    b = (0.7 * a + 0.3 * b).astype(dtype)
    expected = structural_similarity(a.astype("float64"), b.astype("float64"), data_range=scale, **options)
    assert pdl.ssim(a, b, window=window, data_range=scale) == pytest.approx(expected, abs=1e-6)
    assert pdl.ssim(b, a, window=window, data_range=scale) == pdl.ssim(a, b, window=window, data_range=scale)


def test_all_metrics_of_all_pairs() -> None:
    rng = numpy.random.default_rng(3)
    volumes = numpy.stack([smooth(rng, (16, 18, 20)) for _ in range(9)])
    found = pdl.similarity(volumes, metrics=("mse", "psnr", "ssim", "uqi"))
    assert list(found) == ["mse", "psnr", "ssim", "uqi"]
    identical = {"mse": 0, "psnr": numpy.inf, "ssim": 1, "uqi": 1}
    for metric, matrix in found.items():
        assert matrix.shape == (9, 9) and matrix.dtype == numpy.float32 and (matrix == matrix.T).all()
        assert (matrix.diagonal() == identical[metric]).all()
    for i in range(9):
        for j in range(i):
            a, b = (volumes[k].astype("float64") for k in (i, j))
            mse = ((a - b) ** 2).mean()
            assert found["mse"][i, j] == pytest.approx(mse, rel=1e-5)
            assert found["psnr"][i, j] == pytest.approx(-10 * numpy.log10(mse), abs=1e-4)
            assert found["ssim"][i, j] == pytest.approx(structural_similarity(a, b, data_range=1.0), abs=1e-6)
            uqi = structural_similarity(a, b, data_range=1.0, K1=0, K2=0)
            assert found["uqi"][i, j] == pytest.approx(uqi, abs=1e-5)


def test_a_list_an_array_and_other_memory_orders_are_the_same() -> None:
    rng = numpy.random.default_rng(5)
    volumes = numpy.stack([smooth(rng, (9, 10, 11)) for _ in range(4)])
    whole = pdl.similarity(volumes)
    for other in (list(volumes), [numpy.asfortranarray(v) for v in volumes], volumes.tolist(), volumes[:, :, ::-1][:, :, ::-1]):
        again = pdl.similarity(other)
        assert all((whole[metric] == again[metric]).all() for metric in ("ssim", "mse"))
    planes = pdl.similarity(volumes[0], metrics="ssim")
    assert list(planes) == ["ssim"] and planes["ssim"].shape == (9, 9)
    assert planes["ssim"][0, 1] == pytest.approx(structural_similarity(*volumes[0, :2], data_range=1.0), abs=1e-6)


def test_it_is_the_kernel_of_compare(cohort: pdl.Cohort) -> None:
    proxies = pyarrow.ipc.open_file("out/ct/proxies/00000.arrow").read_all()
    volumes = [numpy.array(row, dtype="float32").reshape(64, 64, 64) for row in proxies["voxels"].to_pylist()[:6]]
    assert proxies["case_id"].to_pylist() == cohort.case_ids
    found = pdl.similarity(volumes, metrics=("ssim", "mse", "uqi"))
    for metric, matrix in found.items():
        numpy.testing.assert_array_equal(matrix, cohort.matrix(metric)[:6, :6])


def test_what_cannot_be_compared_is_refused_with_the_cause() -> None:
    one = numpy.zeros((8, 8, 8), "float32")
    wrong = numpy.full_like(one, numpy.nan)
    for call, cause in [
        (lambda: pdl.ssim(one, one[:7]), "expected volumes of one shape"),
        (lambda: pdl.ssim(one[:6], one[:6]), "at least 7 voxels along each axis, found \\[6, 8, 8\\]"),
        (lambda: pdl.ssim(one, one, window="gaussian"), "at least 11 voxels"),
        (lambda: pdl.ssim(one, one, window="box"), "expected uniform or gaussian, found 'box'"),
        (lambda: pdl.ssim(one, one, data_range=-1), "expected a positive number, found -1"),
        (lambda: pdl.ssim(one, wrong), "volume 1 holds values that are not finite"),
        (lambda: pdl.ssim(one, one - 1024), "volume 1 holds -1024, more than 1000 times data_range"),
        (lambda: pdl.similarity([]), "expected at least one volume, found none"),
        (lambda: pdl.similarity(one[0]), "found an array of 2 axes"),
        (lambda: pdl.similarity([one[None]]), "found an array of 4 axes"),
        (lambda: pdl.similarity([one], metrics=["lpips"]), "expected mse, psnr, ssim or uqi, found 'lpips'"),
        (lambda: pdl.similarity([one], metrics="label_dice"), "found 'label_dice'"),
    ]:
        with pytest.raises(ValueError, match=cause):
            call()
    for values in (one.astype(complex), one.astype(str), one.astype(object)):
        with pytest.raises(TypeError, match="expected an array of numbers"):
            pdl.ssim(values, values)


def test_other_threads_run_meanwhile() -> None:
    volumes = numpy.random.default_rng(1).random((60, 48, 48, 48), dtype="float32")
    turns, stop = 0, threading.Event()

    def count() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            time.sleep(0.001)

    other = threading.Thread(target=count)
    other.start()
    before = turns
    pdl.similarity(volumes)
    after = turns
    stop.set()
    other.join()
    assert after - before > 5


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it() -> None:
    script = """
import numpy, pdl
volumes = numpy.random.default_rng(1).random((400, 64, 64, 64), dtype="float32")
print("begins", flush=True)
try:
    pdl.similarity(volumes)
except KeyboardInterrupt:
    print("interrupted")
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begins\n"
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=60)[0] == "interrupted\n"


def compare_once(_: int) -> float:
    ramp = numpy.linspace(0, 1, 4096, dtype="float32").reshape(16, 16, 16)
    return pdl.ssim(ramp, ramp)


@pytest.mark.skipif(not FORK, reason="no fork")
def test_a_forked_worker_has_threads_of_its_own() -> None:
    assert compare_once(0) == 1.0
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.map_async(compare_once, range(4)).get(timeout=60) == [1.0] * 4
