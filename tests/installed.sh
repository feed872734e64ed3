#!/usr/bin/env bash
# Sees to it that programs are there: installed.sh PROGRAM:PACKAGE...
# Those that are missing come from Debian's packages (root, or sudo without a password).
set -euo pipefail
missing=()
for program in "$@"; do
    command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo --non-interactive); fi
    "${as_root[@]}" apt-get update --quiet=2 || true # a list that is out of reach may not be needed
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" >/dev/null ||
        { echo "install these first: ${missing[*]}" >&2; exit 1; }
fi
