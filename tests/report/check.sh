#!/usr/bin/env bash
# Drives the reports of curation folders in headless Chromium: check.sh [FLAGS OF drive.py] OUT...
# Chromium and its driver are Debian's, selenium is PyPI's and axe-core npm's, both at fixed versions; what is missing
# is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tests/installed.sh chromium:chromium chromedriver:chromium-driver npm:npm
venv=.venv-report axe=.venv-report/axe-core-4.14.1.tgz
test -x $venv/bin/python || python3 -m venv $venv
$venv/bin/python -m pip install --quiet --requirement tests/report/requirements.txt
test -f $axe || (cd $venv && npm pack --silent axe-core@4.14.1 >/dev/null)
tar -xzf $axe -C $venv package/axe.min.js
flags=()
while [ "${1#--}" != "$1" ]; do
    flags+=("$1"); shift
    if [ "${flags[-1]}" = --screenshots ]; then flags+=("$1"); shift; fi
done
for out in "$@"; do
    target/release/pdl report "$out"
    $venv/bin/python tests/report/drive.py "$out/report.html" --axe $venv/package/axe.min.js --name "$(basename "$out")" "${flags[@]}"
done
