"""`python -m image`: builds the SD image, or says how it would.

python -m image --out DIR [--cache DIR] [--flavour debian|rpios] [--fresh]
python -m image --plan                what would be done, and what is kept from before
"""

import argparse
import os
import sys
from pathlib import Path

from image import trees
from image.build import plan
from image.layers import FLAVOURS, RecipeFault
from image.steps import keys, run


def main() -> int:
    """Exit 0 done, 1 failed, 2 wrong use or a recipe that cannot be followed here."""
    parser = argparse.ArgumentParser(prog="python -m image", description="Builds the SD image.")
    parser.add_argument("--flavour", choices=FLAVOURS, default="debian")
    parser.add_argument("--cache", type=Path, default=Path(".cache/image"))
    parser.add_argument("--out", type=Path, default=Path("build/image"), help="where the result is linked to")
    parser.add_argument("--fresh", action="store_true", help="packages anew: what Debian has today")
    parser.add_argument("--plan", action="store_true", help="only say what would be done")
    args = parser.parse_args()
    checkout = Path(__file__).parent.parent
    cache = args.cache.resolve()
    try:
        steps = plan(args.flavour, checkout)
        if args.plan:
            for name, key in keys(steps).items():
                print(f"{name:10} {key} {'kept' if (cache / f'{name}-{key}').exists() else 'to be done'}")
            return 0
        trees.require_host()
        done = run(steps, cache, _tell, fresh=("packages",) if args.fresh else ())
    except RecipeFault as fault:
        print(f"image: {fault}" + (f"\n  {fault.hint}" if fault.hint else ""), file=sys.stderr)
        return 2
    publish(done["publish"], args.out)
    return 0


def publish(folder: Path, out: Path) -> None:
    """Links the result's files into `out`, in place of earlier ones."""
    out.mkdir(parents=True, exist_ok=True)
    for path in out.iterdir():
        path.unlink()
    for path in sorted(folder.iterdir()):
        os.link(path, out / path.name)
        print(f"  {out / path.name} ({path.stat().st_size / 1e6:.1f} MB)")


def _tell(line: str) -> None:
    print(f"image: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
