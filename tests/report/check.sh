#!/usr/bin/env bash
# Drives the reports of curation folders in headless Chromium: check.sh OUT... (chromium and chromium-driver are
# Debian's; selenium and axe-core are fetched, at fixed versions).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for program in chromium chromedriver npm; do
    command -v $program >/dev/null || { echo "$program is missing: apt-get install chromium chromium-driver npm" >&2; exit 1; }
done
venv=.venv-report axe=.venv-report/axe-core-4.14.1.tgz
test -x $venv/bin/python || python3 -m venv $venv
$venv/bin/python -m pip install --quiet --requirement tests/report/requirements.txt
test -f $axe || (cd $venv && npm pack --silent axe-core@4.14.1 >/dev/null)
tar -xzf $axe -C $venv package/axe.min.js
for out in "$@"; do
    target/release/pdl report "$out"
    $venv/bin/python tests/report/drive.py "$out/report.html" --axe $venv/package/axe.min.js
done
