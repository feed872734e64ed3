#!/usr/bin/env python3
"""Check the structure of the Rust code: what a compiler accepts and a reader stumbles over.

Reports, one line each, and exits with 1 when there is any:
- circles between the modules of a crate (`use crate::..`, `super::..`; tests and doc comments do not count);
- files past 600 lines; comments past 100 columns, in Python and at the end of a line of code, too;
- a public type's name that occurs twice in the workspace;
- file and folder names with a word that says nothing to a stranger (WORDS), as a whole word between `_`, `-` and `.`;
- doc comments that only restate the name of their item;
- codes of findings that no test expects;
- files that are mapped into memory elsewhere than pdl's own proxies (MAPPED): files of users are read, as one that
  shrinks while it is mapped ends the program;
- crates that show as many items as PUBLIC_ITEMS or more, and such items that no program and no test uses;
- code that belongs in one file, in another (OWNED).

Exceptions stand in exceptions.toml beside this file, each with its reason; one that no longer applies is reported.
"""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 600
MAX_COLUMNS = 100
# A crate must show fewer items than this: re-exports and what its public modules hold.
PUBLIC_ITEMS = {"pdl-fit": 60}

# What only one file may say: the device of a tensor is chosen, asked for and changed in one place.
OWNED = [
    ("crates/pdl-fit/src", "crates/pdl-fit/src/model/device.rs", re.compile(r"\b(?:Device::|Cuda\b|f?_?to_device)|\.device\(\)")),
]

# Where files may be mapped into memory.
MAPPED = {"crates/pdl-prepare/src/proxies.rs"}

# Names of files that a stranger to the code cannot read; what replaced them says what is inside.
# `split` and `cases` were renamed in one crate, and name the folder and the table of another.
WORDS = set(
    """
    archive beginning blocks broken carried chunks closest column divide earlier engine errand feed folder grain
    handed inline invariant joining kept kernel layout likeness mapping mirror mistakes moment moved named nearest
    next norm outliers pace part places predictor quiet rate regrid remote rest run runs said sampling scheme select
    sides squares stop straighten target text tree unlike warp wrong_key
    """.split()
)

USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M | re.S)
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")
ITEM_SHOWN = re.compile(
    r"^pub (?:const |async |unsafe )*(?:fn|struct|enum|trait|union|type|const|static|macro) (\w+)", re.M
)
MODULE_SHOWN = re.compile(r"^pub mod (\w+)", re.M)
TYPE = re.compile(r"^pub (?:struct|enum|trait|union|type) (\w+)", re.M)
ITEM = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:const\s+|async\s+|unsafe\s+)*"
    r"(?:fn|struct|enum|trait|type|mod|const|static)?\s*r?#?(\w+)"
)
# Words that carry nothing beyond the name they stand beside.
EMPTY = set(
    "a an and are as at be by for from has have in into is it its of on one or that the their this to was what "
    "which with get gets set sets return returns give gives make makes new".split()
)


def code_of(text: str) -> str:
    """The text without comments, and without what is compiled for tests only."""
    text = re.sub(r"//[^\n]*", "", text)
    at = re.search(r"^#\[cfg\(test\)\]\s*\n\s*mod \w+ \{", text, re.M)
    return text[: at.start()] if at else text


def expand(tree: str) -> list[str]:
    """The paths of a use tree: `a::{b, c::d as e}` is `a::b` and `a::c::d`."""
    tree = tree.strip()
    at = tree.find("{")
    if at < 0:
        return [re.sub(r"\s+as\s+\w+$", "", tree)]
    head, depth, part, parts = tree[:at], 0, "", []
    for c in tree[at + 1 : tree.rfind("}")]:
        depth += (c == "{") - (c == "}")
        if c == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += c
    return [head + path for part in [*parts, part] if part.strip() for path in expand(part)]


def leaves(tree: str) -> list[str]:
    """As `expand`, with the names after `as`."""
    return expand(re.sub(r"\s+as\s+(\w+)", r"::\1", tree))


def name_of(path: str) -> str:
    return path.rsplit("::", 1)[-1]


class Crate:
    """The modules of a crate, by path below its root ("" is the root), and who uses whom."""

    def __init__(self, folder: Path):
        self.name = folder.name
        self.files = {}
        for file in sorted((folder / "src").rglob("*.rs")):
            parts = list(file.relative_to(folder / "src").with_suffix("").parts)
            if parts[-1] == "mod" or parts in (["lib"], ["main"]):
                parts.pop()
            path = "::".join(parts)
            if path in self.files:  # main.rs beside lib.rs: a program over the library
                continue
            self.files[path] = code_of(file.read_text())
        self.reexports = {path: dict(self.names(path, public=True)) for path in self.files}

    def names(self, module: str, public: bool):
        for match in USE.finditer(self.files[module]):
            if bool(match[1]) != public:
                continue
            for path in expand(match[2]):
                full = self.absolute(module, path)
                if full is not None:
                    yield full.rsplit("::", 1)[-1], full

    def absolute(self, module: str, path: str) -> str | None:
        parts = [part.strip() for part in path.split("::")]
        here = module.split("::") if module else []
        if parts[0] == "crate":
            here = []
        elif parts[0] == "super":
            while parts and parts[0] == "super":
                here = here[:-1]
                parts = parts[1:]
            parts = ["", *parts]
        elif parts[0] == "self":
            pass
        else:
            child = "::".join([*here, parts[0]])
            if child not in self.files:
                return None
            parts = ["", *parts]
        return "::".join([*here, *parts[1:]])

    def owner(self, path: str, depth: int = 0) -> str | None:
        """The module that defines what a path names; re-exports are followed."""
        parts = path.split("::")
        for n in range(len(parts), -1, -1):
            module = "::".join(parts[:n])
            if module in self.files:
                rest = parts[n:]
                known = self.reexports[module]
                if rest and rest[0] in known and depth < 8:
                    target = "::".join([known[rest[0]], *rest[1:]])
                    return module if target == path else self.owner(target, depth + 1)
                return module
        return None

    def shown(self, module: str = "") -> set[str]:
        """The paths of what other crates can use: items, re-exports and modules."""
        text = self.files[module]
        names = set(ITEM_SHOWN.findall(text)) | set(MODULE_SHOWN.findall(text))
        for match in USE.finditer(text):
            if match[1] and match[1].strip() == "pub":
                names |= {name_of(path) for path in leaves(match[2])}
        paths = {f"{module}::{name}" if module else name for name in names}
        inside = [self.shown(path) for path in paths if path in self.files and name_of(path) in MODULE_SHOWN.findall(text)]
        return paths.union(*inside)

    def uses(self) -> dict[str, set[str]]:
        arrows = defaultdict(set)
        for module, text in self.files.items():
            paths = {full for _, full in self.names(module, public=False)}
            inline = USE.sub("", text)
            paths |= {self.absolute(module, m) for m in PATH.findall(inline) if not m.startswith("self")}
            for path in paths - {None}:
                owner = self.owner(path)
                if owner is not None and owner != module:
                    arrows[module].add(owner)
        return arrows

    def circles(self) -> list[list[str]]:
        arrows = self.uses()
        number, low, stack, found = {}, {}, [], []

        def visit(v):
            number[v] = low[v] = len(number)
            stack.append(v)
            for w in sorted(arrows[v]):
                if w not in number:
                    visit(w)
                    low[v] = min(low[v], low[w])
                elif w in stack:
                    low[v] = min(low[v], number[w])
            if low[v] == number[v]:
                group = []
                while True:
                    group.append(stack.pop())
                    if group[-1] == v:
                        break
                if len(group) > 1:
                    found.append(sorted(group))

        for module in sorted(self.files):
            if module not in number:
                visit(module)
        return sorted(found)


def words_of(name: str) -> list[str]:
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [word.lower() for word in name.split("_") if word]


def stem(word: str) -> str:
    for ending in ("ies", "ing", "es", "ed", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)]
    return word


def restates(doc: str, name: str) -> bool:
    said = {stem(word) for word in re.findall(r"[a-z0-9]+", doc.lower())} - {stem(word) for word in EMPTY}
    return bool(said or doc.strip()) and said <= {stem(word) for word in words_of(name)}


def docs(text: str):
    """Doc comments of one line, each with the name of its item and the line."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        bare = line.strip()
        if not bare.startswith("///") or (at and lines[at - 1].strip().startswith("///")):
            continue
        after = at + 1
        while after < len(lines) and lines[after].strip().startswith("#["):
            after += 1
        if after < len(lines) and not lines[after].strip().startswith("///"):
            match = ITEM.match(lines[after])
            if match and match[1]:
                yield at + 1, bare.removeprefix("///").strip(), match[1]


def stray_words(part: str) -> list[str]:
    """The words of WORDS that the name of a file or folder has, or that it is as a whole."""
    stem, *endings = part.lower().split(".")
    name = stem.replace("-", "_")
    found = [word for word in name.split("_") if word in WORDS]
    return found or [name] * (name in WORDS) or [word for word in endings[:-1] if word in WORDS]


def without_strings(line: str) -> str:
    """A line of code with its strings and characters of the same width, but empty."""
    blank = lambda match: '"' + " " * (len(match[0]) - 2) + '"'
    return re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'', blank, line)


def wide_comments(file: Path, text: str):
    """Lines past MAX_COLUMNS that are or end in a comment: number and columns. Addresses are exempt."""
    mark = {".rs": "//", ".py": "#"}[file.suffix]
    for at, line in enumerate(text.split("\n")):
        if len(line) <= MAX_COLUMNS or "://" in line:
            continue
        if mark in without_strings(line):
            yield at + 1, len(line)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "crates", "tests"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    return [Path(path) for path in listed.split("\0") if path and (ROOT / path).is_file()]


def test_text(file: Path) -> str:
    """What of a file is test: all of it below tests/ and in test modules, the end of others."""
    text = (ROOT / file).read_text()
    if "tests" in file.parts or file.stem == "tests":
        return text
    at = re.search(r"^#\[cfg\(test\)\]\s*\n\s*mod \w+ \{", text, re.M)
    return text[at.start() :] if at else ""


def untested_codes(files: list[Path]):
    """The codes that stand in no test, neither as text nor as variant."""
    names = {".rs", ".py", ".toml", ".tsv", ".json"}
    tests = "\n".join(test_text(file) for file in files if file.suffix in names and "style" not in file.parts)
    expected = set(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", tests)) | set(re.findall(r"Code::(\w+)", tests))
    codes = (ROOT / "crates/pdl-findings/src/code.rs").read_text()
    for variant, code in re.findall(r'^\s+(\w+) = "([a-z0-9-]+)", \w+,', codes, re.M):
        if variant not in expected and code not in expected:
            yield code


def too_public(crate: Crate, folder: Path, files: list[Path]):
    """Whether a crate shows too much, and what of it nobody uses."""
    shown, most = crate.shown(), PUBLIC_ITEMS[crate.name]
    if len(shown) >= most:
        yield "public-items", crate.name, f"{len(shown)} public items, expected fewer than {most}"
    package = crate.name.replace("-", "_")
    outside = [file for file in files if file.suffix == ".rs" and (folder / "src") not in file.parents]
    texts = [(ROOT / file).read_text() for file in [*outside, folder / "src/main.rs"]]
    words = {word for text in texts if package in text for word in re.findall(r"\w+", text)}
    for path in sorted(path for path in shown if name_of(path) not in words):
        yield "public-items", f"{crate.name}: {path}", "no program and no test uses it"


def problems():
    """All problems, each a kind, what it is about, and the line that is printed."""
    files = tracked()
    for folder in sorted(file.parent for file in files if file.name == "Cargo.toml"):
        if (ROOT / folder / "src").is_dir():
            crate = Crate(ROOT / folder)
            for circle in crate.circles():
                shown = [module or "(root)" for module in circle]
                yield "circle", f"{crate.name}: {' '.join(shown)}", "modules use each other in a circle"
            if crate.name in PUBLIC_ITEMS:
                yield from too_public(crate, folder, files)
    types = defaultdict(list)
    for file in files:
        for part in file.parts[1:]:
            for word in stray_words(part):
                yield "file-name", str(file), f'"{word}" does not name a thing of the field'
        if file.suffix not in {".rs", ".py"}:
            continue
        text = (ROOT / file).read_text()
        for at, columns in wide_comments(file, text):
            yield "wide-comment", f"{file}:{at}", f"{columns} columns, expected at most {MAX_COLUMNS}"
        if file.suffix != ".rs":
            continue
        if str(file) not in MAPPED and re.search(r"\bMmap|memmap|\bmmap\(", code_of(text)):
            yield "mapped-file", str(file), "maps files into memory"
        lines = text.split("\n")
        if len(lines) - 1 > MAX_LINES:
            yield "long-file", str(file), f"{len(lines) - 1} lines, expected at most {MAX_LINES}"
        for folder, owner, code in OWNED:
            if str(file).startswith(folder + "/") and str(file) != owner and file.stem != "tests":
                for found in sorted(set(code.findall(code_of(text)))):
                    yield "owned", str(file), f"{found} belongs in {owner}"
        for at, doc, name in docs(text):
            if restates(doc, name):
                yield "restated", f"{file}:{at + 1}", f'"{doc}" says no more than the name {name}'
        if file.parts[0] == "crates" and "src" in file.parts:
            for name in TYPE.findall(code_of(text)):
                types[name].append(file)
    for code in untested_codes(files):
        yield "untested-code", code, "no test expects this code of a finding"
    for name, where in sorted(types.items()):
        if len(where) > 1:
            yield "type-name", name, f"public in {', '.join(map(str, where))}"


def main() -> int:
    exceptions = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text())
    wanted = set(sys.argv[1:])
    left = {(kind, what) for kind, entries in exceptions.items() for what in entries}
    count = 0
    for kind, what, message in problems():
        if (kind, what) in left:
            left.discard((kind, what))
        elif not wanted or kind in wanted:
            count += 1
            print(f"{kind}: {what}: {message}")
    if not wanted:
        for kind, what in sorted(left):
            count += 1
            print(f"exception: {what}: no longer needed for {kind}: remove it from exceptions.toml")
    print(f"{count} problems of structure" if count else "structure: no problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
