"""What is in an image: its Debian packages and Python distributions, listed, and as an SPDX bill of materials.

Pure but for `collect`.
"""

import email.parser
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_WHEN: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One package: `kind` is "deb" or "pypi", `licence` as its author wrote it, `sha256` that of its wheel."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    licence: str = ""
    sha256: str = ""

    @property
    def locator(self) -> str:
        """The package URL."""
        if self.kind == "deb":
            return f"pkg:deb/debian/{self.name}@{self.version}?arch={self.architecture}"
        return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{self.version}"


def debian(status: str) -> list[Component]:
    """The installed packages of dpkg's status file."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = email.parser.Parser().parsestr(paragraph)
        if "installed" not in (fields["Status"] or "").split():
            continue
        source = (fields["Source"] or fields["Package"]).split(" ")[0]
        found.append(Component("deb", fields["Package"], fields["Version"], fields["Architecture"], source))
    return sorted(found)


def distribution(metadata: str, sha256: str = "") -> Component:
    """A Python distribution from its METADATA."""
    fields = email.parser.Parser().parsestr(metadata)
    licence = fields["License-Expression"] or next(iter((fields["License"] or "").splitlines()), "")
    return Component("pypi", fields["Name"], fields["Version"], licence=licence[:100], sha256=sha256)


def collect(tree: Path, site: Path, wheels: Iterable[Path]) -> list[Component]:
    """The components of a system tree with the application's packages in `site`."""
    digests = {_project(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
    found = debian((tree / "var/lib/dpkg/status").read_text())
    for path in sorted(site.glob("*.dist-info/METADATA")):
        stem = path.parent.name.removesuffix(".dist-info")
        found.append(distribution(path.read_text(errors="replace"), digests.get(_plain(stem), "")))
    return sorted(found)


def _project(wheel: Path) -> str:
    return _plain("-".join(wheel.name.split("-")[:2]))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listing(components: Sequence[Component]) -> str:
    """One component a line: kind, name, version, architecture, sha256; tabs between."""
    rows = [
        "\t".join([item.kind, item.name, item.version, item.architecture or "-", item.sha256 or "-"])
        for item in components
    ]
    return "\n".join(rows) + "\n"


def spdx(name: str, version: str, components: Sequence[Component], epoch: int) -> str:
    """An SPDX 2.3 document as JSON. The same components give the same text."""
    packages: list[dict[str, Any]] = [_package("SPDXRef-image", name, version, {})]
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    for item in components:
        identifier = "SPDXRef-" + re.sub(
            r"[^A-Za-z0-9.-]", "-", f"{item.kind}-{item.name}-{item.architecture or 'any'}"
        )
        packages.append(_package(identifier, item.name, item.version, _details(item)))
        relations.append(_relation("SPDXRef-image", "CONTAINS", identifier))
    content = hashlib.sha256(listing(components).encode()).hexdigest()
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name}-{version}",
        "documentNamespace": f"urn:handset:{name}:{version}:{content}",
        "creationInfo": {
            "created": datetime.fromtimestamp(epoch, UTC).strftime(_WHEN),
            "creators": ["Tool: handset-image"],
        },
        "packages": packages,
        "relationships": relations,
    }
    return json.dumps(document, indent=1) + "\n"


def _package(identifier: str, name: str, version: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        **more,
    }


def _details(item: Component) -> dict[str, Any]:
    reference = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": item.locator,
    }
    details: dict[str, Any] = {"externalRefs": [reference], "licenseDeclared": "NOASSERTION"}
    if item.licence:
        details["licenseComments"] = f"declared by its author: {item.licence}"
    if item.sha256:
        details["checksums"] = [{"algorithm": "SHA256", "checksumValue": item.sha256}]
    if item.kind == "deb" and item.source:
        details["sourceInfo"] = f"Debian source package {item.source}"
    return details


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
