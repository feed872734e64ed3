"""The pair matrix by Ray: a task a row of tiles; pdl is on the path, OUT on every node.

    ray job submit -- python tiles.py OUT BLOCKS [flags of pdl tile]

N cases make BLOCKS = N / 128 blocks, rounded up. Afterwards `pdl compare OUT` finds the tiles done.
"""

import subprocess
import sys

import ray

out, blocks, flags = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
ray.init()


@ray.remote(num_cpus=1, max_retries=5, retry_exceptions=True)
def compute(row):
    for col in range(row, blocks):
        tile = ["--row", str(row), "--col", str(col), "--threads", "1"]
        subprocess.run(["pdl", "tile", out, *tile, *flags], check=True)


ray.get([compute.remote(row) for row in range(blocks)])
