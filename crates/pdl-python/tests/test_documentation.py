"""The examples in docstrings, and the Python of the README files."""

import doctest
import importlib.util
import pathlib
import re

import pytest

import pdl
import pdl.samples

ROOT = pathlib.Path(__file__).parents[3]
CLASSES = (pdl.Cohort, pdl.Curriculum, pdl.Table)
DOCUMENTED = {
    f"{holder.__name__}.{name}": getattr(holder, name).__doc__ or ""
    for holder, names in [(pdl, pdl.__all__), (pdl.samples, ["main", "path"]), *((c, vars(c)) for c in CLASSES)]
    for name in names
    if not name.startswith("_")
}


@pytest.mark.parametrize("name", [name for name, text in DOCUMENTED.items() if ">>>" in text])
def test_the_example_of(name: str) -> None:
    test = doctest.DocTestParser().get_doctest(DOCUMENTED[name], {}, name, None, None)
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert outcome.attempted and not outcome.failed


def test_what_is_public_is_documented() -> None:
    assert not [name for name, text in DOCUMENTED.items() if not text.strip()]


def blocks() -> "list[str]":
    found = []
    for readme in (ROOT / "README.md", ROOT / "crates/pdl-python/README.md", ROOT / "crates/pdl/help/loops.md"):
        texts = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
        found += [text for text in texts if re.search(r"^import .*\bpdl\b", text, re.MULTILINE)]
    return found


@pytest.mark.parametrize("block", blocks())
def test_the_python_of_the_documentation_runs(block: str) -> None:
    for module in ("torch", "monai"):
        if module in block and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    exec(block.replace("range(50)", "range(12)"), {})
