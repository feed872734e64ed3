#!/usr/bin/env bash
# Drives the reports of curation folders in headless Chromium: check.sh [FLAGS OF drive.py] OUT...
# Chromium and its driver are Debian's, selenium is PyPI's and axe-core npm's, both at fixed versions; what is missing
# is installed (the Debian packages need root, or sudo without a password).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
missing=()
for program in chromium:chromium chromedriver:chromium-driver npm:npm; do
    command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo --non-interactive); fi
    "${as_root[@]}" apt-get update --quiet=2 || true # a list that is out of reach may not be needed
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" >/dev/null ||
        { echo "install these first: ${missing[*]}" >&2; exit 1; }
fi
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
