"""A curated sample cohort, made by the installed command; tests run in the folder around it, out/ct."""

import os
import pathlib
import subprocess
import sysconfig

import pytest

import pdl
import pdl.samples

SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    """The installed command `pdl`."""
    return subprocess.run([SCRIPTS / "pdl", *words], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("cohort")
    out = str(folder / "out/ct")
    done = run("curate", str(pdl.samples.path("ct")), "--out", out, "--plan-from", "outside-test")
    assert done.returncode == 0, done.stderr
    done = run("rank", out, "--folds", "3")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(autouse=True)
def inside(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture
def cohort() -> pdl.Cohort:
    return pdl.open("out/ct")


@pytest.fixture
def curriculum() -> pdl.Curriculum:
    return pdl.Curriculum("out/ct")
