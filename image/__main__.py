"""`python -m image`: builds the SD image or a release of the application, says how it would, or compares two images.

python -m image --out DIR [--cache DIR] [--flavour debian|rpios] [--fresh]
python -m image --plan                what would be done, and what is kept from before
python -m image --release --out DIR   the application alone, signed, from a commit without changes
python -m image --compare A B         two disk images: what differs, file by file; exit 1 if anything does
"""

import argparse
import os
import sys
from pathlib import Path

from image import archive, compare, release, trees
from image.build import Build, facts, recipe
from image.layers import FLAVOURS, RecipeFault
from image.signing import Signing, signing
from image.steps import keys, run


def main() -> int:
    """Exit 0 done, 1 failed, 2 wrong use or a recipe that cannot be followed here."""
    args = _arguments()
    try:
        if args.compare:
            return _compare(*args.compare)
        return _build(args)
    except RecipeFault as fault:
        print(f"image: {fault}" + (f"\n  {fault.hint}" if fault.hint else ""), file=sys.stderr)
        return 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m image", description="Builds the SD image.")
    parser.add_argument("--flavour", choices=FLAVOURS, default="debian")
    parser.add_argument("--cache", type=Path, default=Path(".cache/image"))
    parser.add_argument("--out", type=Path, default=Path("build/image"), help="where the result is linked to")
    parser.add_argument("--fresh", action="store_true", help="packages anew: what Debian has today")
    parser.add_argument("--plan", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--release", action="store_true", help="the application's release instead of an image"
    )
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two disk images")
    return parser.parse_args()


def _build(args: argparse.Namespace) -> int:
    checkout = Path(__file__).parent.parent
    cache = args.cache.resolve()
    by = signing(os.environ, cache / "keys")
    version, epoch = facts(checkout)
    what = recipe(args.flavour)
    build = Build(what, checkout, version, epoch, by, archive.beside(what.archives, os.environ))
    steps = build.release_steps() if args.release else build.steps()
    if args.plan:
        for name, key in keys(steps).items():
            print(f"{name:10} {key} {'kept' if (cache / f'{name}-{key}').exists() else 'to be done'}")
        return 0
    if args.release:
        release.require_clean(version)
    trees.require_host()
    done = run(steps, cache, _tell, fresh=("packages",) if args.fresh and not args.release else ())
    publish(done[steps[-1].name], args.out)
    _warn(by)
    return 0


def _compare(one: Path, two: Path) -> int:
    found = compare.differences(one, two)
    print("\n".join(found) if found else "the same, byte by byte")
    return 1 if found else 0


def _warn(by: Signing) -> None:
    if by.development:
        _tell("signed with development keys of this machine: for trying, not for others (docs/image.md)")


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
