"""The command of the wheel is the program."""

import pathlib
import subprocess
import sys

import pytest

import pdl
import pdl.samples
from conftest import run


def test_the_command_answers_as_the_program_does(folder: pathlib.Path) -> None:
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"pdl {pdl.__version__}\n")
    assert "Usage: pdl [OPTIONS] <COMMAND>" in run("--help").stdout
    assert run("no-such-command").returncode == 2
    summary = run("summary", "out/ct")
    assert (summary.returncode, summary.stdout) == (0, str(pdl.open("out/ct")) + "\n")


def test_an_error_ends_with_the_exit_code_and_the_words_that_the_module_raises() -> None:
    for words, call in [
        (["summary", "out/none"], lambda: pdl.open("out/none")),
        (["matrix", "out"], lambda: pdl.open("out")),
        (["view", "out/ct", "ct_99"], lambda: pdl.open("out/ct").image("ct_99")),
        (["matrix", "out/ct", "--metric", "body-ssim"], lambda: pdl.open("out/ct").matrix("body-ssim")),
        (["select", "out/ct/prepared"], lambda: pdl.Curriculum("out/ct/prepared")),
    ]:
        ended = run(*words)
        with pytest.raises(pdl.Error) as raised:
            call()
        assert ended.returncode == 1
        assert ended.stderr == f"error: {raised.value}\n", words


def test_the_module_is_a_program_too() -> None:
    for words in (["-m", "pdl", "--version"], ["-c", "import sys, pdl.__main__ as p; sys.exit(p.main())", "--version"]):
        assert subprocess.check_output([sys.executable, *words], text=True) == f"pdl {pdl.__version__}\n"


def test_the_samples_are_found_by_name() -> None:
    for name in pdl.samples.NAMES:
        found = subprocess.check_output([sys.executable, "-m", "pdl.samples", name], text=True).strip()
        assert found == str(pdl.samples.path(name))
        assert len(list(pathlib.Path(found, "images").iterdir())) == 24
        assert len(list(pathlib.Path(found, "labels").iterdir())) == 24
    with pytest.raises(ValueError, match="expected ct or mr, found 'pet'"):
        pdl.samples.path("pet")
