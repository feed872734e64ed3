"""The cost of a comparison of many cases on a cluster: the table in `pdl help measured`.

    model.py --pair US --case MS --tile-ms MS --check MS --scheduler-ms MS [--cases 100000] [--tile 128] ...

The constants are those that `cluster.py --many 141` prints for one core. Its milliseconds of the scheduler are per tile;
multiply them by 10,011 / 106, the tiles and partitions of that run. Loaded blocks are counted by replaying the
partitions along the Morton curve (`src/plan.rs`): each executor keeps the blocks it used last, and starts every
partition without any.
"""

import argparse
from collections import OrderedDict

SHARES_PER_EXECUTOR, SHARES, MOST_UNITS, MOST_OF_ALL = 4, (8, 500), 16, 64  # as in src/plan.rs


def morton(row, col):
    """The bits of row and column interleaved."""
    return sum((row >> bit & 1) << (2 * bit + 1) | (col >> bit & 1) << (2 * bit) for bit in range(20))


def partitions(tiles, executors):
    shares = min(max(SHARES_PER_EXECUTOR * executors, SHARES[0]), SHARES[1])
    most = max(MOST_UNITS, len(tiles) // MOST_OF_ALL)
    first = 0
    while first < len(tiles):
        count = min(max((len(tiles) - first) // shares, 1), most)
        yield tiles[first : first + count]
        first += count


def loads(partition, capacity):
    """How many blocks are loaded when those used last are kept."""
    kept, count = OrderedDict(), 0
    for block in (block for tile in partition for block in tile):
        if block in kept:
            kept.move_to_end(block)
            continue
        count += 1
        kept[block] = None
        if len(kept) > capacity:
            kept.popitem(last=False)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", type=float, required=True, help="us of a core a pair")
    parser.add_argument("--case", type=float, required=True, help="ms of a core to load a case")
    parser.add_argument("--tile-ms", type=float, required=True, help="ms of a core a tile beside its pairs")
    parser.add_argument("--check", type=float, required=True, help="ms of the client to check a tile")
    parser.add_argument("--scheduler-ms", type=float, required=True, help="ms of the scheduler a partition")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--bytes-a-case", type=float, default=4.65e6, help="in the memory of an executor")
    parser.add_argument("--bytes-a-pair", type=float, default=13.3, help="of a part file")
    parser.add_argument("--machines", nargs="+", default=["16x4x16", "128x8x32"], help="executors x cores x GiB")
    options = parser.parse_args()
    blocks = -(-options.cases // options.tile)
    tiles = sorted(((r, c) for r in range(blocks) for c in range(r, blocks)), key=lambda tile: morton(*tile))
    pairs = options.cases * (options.cases - 1) / 2
    print(f"{len(tiles)} tiles of {options.tile} x {options.tile}, {pairs:.3g} pairs, {pairs * options.bytes_a_pair / 1e9:.0f} GB written")
    for machines in options.machines:
        executors, cores, gib = (int(word) for word in machines.split("x"))
        capacity = int(gib * 2**30 / (options.tile * options.bytes_a_case))
        plan = list(partitions(tiles, executors))
        loaded = sum(loads(partition, capacity) for partition in plan) * options.tile
        core_seconds = pairs * options.pair / 1e6 + loaded * options.case / 1e3 + len(tiles) * options.tile_ms / 1e3
        seconds = core_seconds / (executors * cores)
        read = loaded * options.side**3 * 4
        checked, scheduled = len(tiles) * options.check / 1e3, len(plan) * options.scheduler_ms / 1e3
        print(
            f"{executors} executors of {cores} cores and {gib} GiB: {seconds / 60:.1f} min ({core_seconds / 3600:.0f} core-hours, "
            f"{100 * pairs * options.pair / 1e6 / core_seconds:.0f}% of them pairs); {len(plan)} partitions; {read / 1e12:.1f} TB read, "
            f"{read / seconds / 1e9:.2f} GB a second; client checks for {checked:.0f} s; scheduler at work for {scheduled:.0f} s"
        )


if __name__ == "__main__":
    main()
