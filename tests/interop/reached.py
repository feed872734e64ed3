"""Whether some run of a curation folder reached a mean validation Dice.

    python tests/interop/reached.py OUT DICE
"""

import json
import pathlib
import sys


def main():
    out, target = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    reached = {}
    for path in sorted(out.glob("runs/*/run.json")):
        results = json.loads(path.read_text())["results"]
        reached[path.parent.name] = (results["dice_mean"], results["training_seconds"])
    for name, (dice, seconds) in reached.items():
        print(f"{name}: mean validation Dice {dice:.4f} after {seconds:.1f} s of training")
    if not any(dice >= target for dice, _ in reached.values()):
        sys.exit(f"error: no run reached {target}: {out}")


if __name__ == "__main__":
    main()
