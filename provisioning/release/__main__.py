"""Packs and signs a release: python -m provisioning.release TREE KEY FILE --version V --machine M --python P."""

import argparse
import sys
from pathlib import Path

from appliance.errors import ReleaseRefused
from provisioning.release.bundle import manifest_of, pack
from provisioning.release.manifest import read_manifest


def main() -> int:
    """0 when FILE is written, 1 when the tree or the key does not do."""
    parser = argparse.ArgumentParser(prog="python -m provisioning.release")
    parser.add_argument("tree", type=Path, metavar="TREE", help="the release's folder")
    parser.add_argument("key", type=Path, metavar="KEY", help="an Ed25519 private key, PEM")
    parser.add_argument("file", type=Path, metavar="FILE", help="what is written, as NAME.tar.xz")
    parser.add_argument("--version", required=True)
    parser.add_argument("--machine", required=True, help="as uname -m says: aarch64, x86_64")
    parser.add_argument("--python", required=True, help="as 3.13")
    args = parser.parse_args()
    try:
        manifest = manifest_of(args.tree, args.version, args.machine, args.python)
        read_manifest(manifest.encoded())
        pack(args.tree, manifest, args.key.read_bytes(), args.file)
    except ReleaseRefused as error:
        print(f"{error.message}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
        return 1
    print(
        f"{args.file}: version {manifest.version}, {len(manifest.files)} files, {manifest.size / 1e6:.0f} MB unpacked"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
