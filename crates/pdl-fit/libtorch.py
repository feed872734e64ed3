#!/usr/bin/env python3
"""Prints the folder of the libtorch that pdl-fit links (the value of LIBTORCH); all else goes to stderr.

Taken from the first of: the variable LIBTORCH; the torch package of this Python, when it has the pinned
version; the cache folder ($PDL_CACHE, $XDG_CACHE_HOME/pdl or ~/.cache/pdl). With --fetch, what is missing
is fetched into the cache folder: the wheels pinned in libtorch-requirements.txt, checked by their hashes.
With --cuda it is one that runs on CUDA devices, too: the CUDA part of the same wheel and the libraries pinned in
libtorch-cuda-requirements.txt, in a folder of their own. Only the standard library and pip are needed.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

VERSION = "2.13.0"
REQUIREMENTS = Path(__file__).resolve().parent / "libtorch-requirements.txt"
CUDA_REQUIREMENTS = REQUIREMENTS.with_name("libtorch-cuda-requirements.txt")
MARKER = "complete"
PARTIAL = ".fetching-"
DAY_SECONDS = 86400

# Platform tags of pip by system and processor of this machine.
WHEEL_PLATFORMS = {
    "linux-x86_64": [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 25, 18, 17, 12, 5)]
    + ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"],
    "linux-aarch64": [f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 25, 18, 17)] + ["manylinux2014_aarch64"],
    "macos-arm64": ["macosx_14_0_arm64"],
}
# Parts of the wheels that a program needs for linking and running, and the licences.
KEPT = ("torch/lib/", "torch/include/", "nvidia/")
# The Python part, and the CUDA part, several GB with its dependencies.
DROPPED = ("libtorch_python",)
CUDA = ("libtorch_cuda", "libtorch_nvshmem", "libc10_cuda", "libcaffe2_nvrtc")


class Refusal(Exception):
    """A problem whose message is shown to the user unchanged."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def has_libtorch(folder):
    """Whether FOLDER/lib holds libtorch as a shared library."""
    return any((folder / "lib" / f"libtorch.{suffix}").is_file() for suffix in ("so", "dylib"))


def has_cuda(folder):
    """Whether FOLDER/lib holds a libtorch for CUDA devices."""
    return (folder / "lib" / "libtorch_cuda.so").is_file()


def from_variable(cuda):
    """The folder that LIBTORCH names, if it is set."""
    value = os.environ.get("LIBTORCH")
    if not value:
        return None
    folder = Path(value)
    if not has_libtorch(folder):
        raise Refusal(
            f"LIBTORCH is {folder}, but there is no lib/libtorch.so (or .dylib) in it: "
            f"let it name the folder of libtorch {VERSION}, or unset it"
        )
    if cuda and not has_cuda(folder):
        raise Refusal(f"LIBTORCH is {folder}, whose libtorch has no CUDA part: let it name one that has, or unset it")
    return folder.resolve()


def from_python(cuda):
    """The torch package of this Python, if it has the pinned version; torch itself is not imported."""
    try:
        version = importlib.metadata.version("torch").split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None
    if version != VERSION:
        say(f"the torch of this Python is {version}, not {VERSION}: not used")
        return None
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]).resolve()
    return folder if has_libtorch(folder) and (has_cuda(folder) or not cuda) else None


def platform_name():
    """This machine as a key of WHEEL_PLATFORMS."""
    system = {"Linux": "linux", "Darwin": "macos"}.get(platform.system(), platform.system().lower())
    return f"{system}-{platform.machine()}"


def cache_folder():
    """The cache folder of downloaded libraries."""
    if os.environ.get("PDL_CACHE"):
        return Path(os.environ["PDL_CACHE"]).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "pdl"


def from_cache(place):
    """The downloaded libtorch in PLACE, if it is complete."""
    folder = place / "torch"
    return folder if (place / MARKER).is_file() and has_libtorch(folder) else None


def download(wheels, name, cuda):
    """Downloads the pinned wheels into the folder WHEELS; pip verifies every hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--require-hashes", "--implementation=cp", "--python-version=3.12"]
    command += [f"--platform={tag}" for tag in WHEEL_PLATFORMS[name]]
    command += ["--dest", str(wheels), "-r", str(REQUIREMENTS)]
    command += ["-r", str(CUDA_REQUIREMENTS)] if cuda else []
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise Refusal(
            "pip could not fetch libtorch (its message is above); needed are pip, a network and about "
            f"{8 if cuda else 3} GB of disk; or let LIBTORCH name a libtorch {VERSION} that you have"
        )


def is_kept(name, cuda):
    """Whether a file of a wheel is extracted."""
    if ".dist-info/" in name:
        return "LICENSE" in name.upper() or "NOTICE" in name.upper() or name.endswith("/METADATA")
    return name.startswith(KEPT) and not Path(name).name.startswith(DROPPED if cuda else DROPPED + CUDA)


def unpack(wheels, folder, cuda):
    """Extracts the wheels into sibling folders: libtorch searches for the CUDA libraries in the folder beside it."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if is_kept(name, cuda)])
        wheel.unlink()


def sweep(cache):
    """Removes the remains of downloads that were interrupted more than a day ago."""
    for folder in cache.glob(PARTIAL + "*"):
        if time.time() - folder.stat().st_mtime > DAY_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def fetch(place, name, cuda):
    """Downloads libtorch into PLACE atomically."""
    if name not in WHEEL_PLATFORMS:
        known = ", ".join(WHEEL_PLATFORMS)
        raise Refusal(
            f"no pinned libtorch for {name} (there is one for {known}): let LIBTORCH name a libtorch {VERSION}"
        )
    if cuda and not name.startswith("linux"):
        raise Refusal(f"no libtorch with CUDA is pinned for {name}")
    size = "some 2 GB" if cuda else "some 500 MB"
    say(f"fetching libtorch {VERSION} for {name} into {place} ({size}, once)")
    place.parent.mkdir(parents=True, exist_ok=True)
    sweep(place.parent)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=place.parent) as temporary:
        wheels, folder = Path(temporary) / "wheels", Path(temporary) / "whole"
        wheels.mkdir()
        folder.mkdir()
        download(wheels, name, cuda)
        unpack(wheels, folder, cuda)
        if not has_libtorch(folder / "torch"):
            raise Refusal(f"the fetched wheels hold no libtorch: {REQUIREMENTS} does not fit this machine")
        (folder / MARKER).write_text(VERSION + "\n", encoding="utf-8")
        put_in_place(folder, place)
    return place / "torch"


def put_in_place(folder, place):
    """Renames FOLDER to PLACE; if another download was faster, its result stays."""
    if place.exists() and from_cache(place) is None:
        shutil.rmtree(place)
    try:
        folder.rename(place)
    except OSError:
        if from_cache(place) is None:
            raise


def find(may_fetch, cuda):
    """The libtorch folder, searched in the order of the module's docstring."""
    name = platform_name()
    place = cache_folder() / f"libtorch-{VERSION}-{name}{'-cuda' if cuda else ''}"
    folder = from_variable(cuda) or from_python(cuda) or from_cache(place)
    if folder is None and may_fetch:
        folder = fetch(place, name, cuda)
    if folder is None:
        flag = " --cuda" if cuda else ""
        raise Refusal(f"no libtorch {VERSION} found: fetch it with `just libtorch{flag}`, or set LIBTORCH")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetch", action="store_true", help="fetch it when there is none")
    parser.add_argument("--cuda", action="store_true", help="one that runs on CUDA devices, too")
    arguments = parser.parse_args()
    try:
        print(find(arguments.fetch, arguments.cuda))
    except (Refusal, OSError) as problem:
        say(f"error: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
