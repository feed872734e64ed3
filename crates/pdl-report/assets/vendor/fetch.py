"""Fetches the chart libraries of the report from npm, checks them against their published hashes, and puts them here.

    python3 crates/pdl-report/assets/vendor/fetch.py

Both are under the ISC licence, which goes into every report with them. To take a new version, change it and its
hash (`npm view NAME@VERSION dist.integrity`) and run this again.
"""

import base64
import hashlib
import io
import pathlib
import subprocess
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = [
    ("d3", "7.9.0", "sha512-e1U46jVP+w7Iut8Jt8ri1YsPOvFpg46k+K8TpCb0P+zjCkjkPnV7WzfDJzMHy1LnA+wj5pLT1wjO901gLXeEhA==", {"dist/d3.min.js": "d3.min.js", "LICENSE": "d3.LICENSE"}),
    ("@observablehq/plot", "0.6.17", "sha512-/qaXP/7mc4MUS0s4cPPFASDRjtsWp85/TbfsciqDgU1HwYixbSbbytNuInD8AcTYC3xaxACgVX06agdfQy9W+g==",
     {"dist/plot.umd.min.js": "plot.umd.min.js", "LICENSE": "plot.LICENSE"}),
]


def main():
    for name, version, integrity, files in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True)
            packed = next(pathlib.Path(folder).glob("*.tgz")).read_bytes()
        found = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
        if found != integrity:
            raise SystemExit(f"{name} {version} is not what it should be: {found}")
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            for source, target in files.items():
                (HERE / target).write_bytes(archive.extractfile(f"package/{source}").read())
        print(f"{name} {version}")


main()
