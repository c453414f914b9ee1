"""Who signs: the vendor's keys, named by variables of the environment, or development keys made on this machine.

HANDSET_BUNDLE_KEY, HANDSET_BUNDLE_CERTIFICATE, HANDSET_BUNDLE_AUTHORITY: the system's bundles: a private key (a file or
a PKCS#11 URI), its certificate, and the authority's, which goes into the image
HANDSET_RELEASE_KEY: the application's releases: an Ed25519 private key; its public half goes into the image
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from appliance.errors import ReleaseRefused
from image.layers import RecipeFault
from provisioning.release.signature import public_of

_BUNDLE: Final = ("HANDSET_BUNDLE_KEY", "HANDSET_BUNDLE_CERTIFICATE", "HANDSET_BUNDLE_AUTHORITY")
_RELEASE: Final = "HANDSET_RELEASE_KEY"
_BEGIN, _END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)
"""An appliance has no clock of its own until the network gives it the time."""


@dataclass(frozen=True, slots=True)
class Signing:
    """`key` and `certificate` sign bundles, `authority` is the certificate that boxes trust; `release` is a file.

    `development`: made on this machine, and on no other.
    """

    key: str
    certificate: Path
    authority: Path
    release: Path
    development: bool

    @property
    def public(self) -> bytes:
        """The public half of `release`, as PEM. Raise RecipeFault for what is no Ed25519 key."""
        try:
            return public_of(self.release.read_bytes())
        except (OSError, ValueError, TypeError, ReleaseRefused) as error:
            raise RecipeFault(
                f"{self.release} is no private key", "openssl genpkey -algorithm ed25519"
            ) from error


def signing(environ: Mapping[str, str], folder: Path) -> Signing:
    """The keys to sign with; development keys are made in `folder` where the environment names none of a kind."""
    named = [environ.get(name, "") for name in _BUNDLE]
    if any(named) and not all(named):
        raise RecipeFault(f"{', '.join(_BUNDLE)} belong together", "name all three, or none")
    release = environ.get(_RELEASE, "")
    for path in [*named[1:], release]:
        if path and not Path(path).is_file():
            raise RecipeFault(f"there is no file {path}")
    if not all(named) or not release:
        _develop(folder)
    key, certificate, authority = named if all(named) else [str(folder / name) for name in _FILES]
    kept = Path(release) if release else folder / "release.key"
    return Signing(key, Path(certificate), Path(authority), kept, not all(named) or not release)


_FILES: Final = ("bundle.key", "bundle.pem", "authority.pem")


def _develop(folder: Path) -> None:
    """Keys of this machine, made once; nobody else is to have them."""
    if (folder / "release.key").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Handset development authority", authority, None, authority)
    _write(folder / "authority.pem", root.public_bytes(Encoding.PEM))
    leaf = _certificate("Handset development bundles", own, root, authority)
    _write(folder / "bundle.pem", leaf.public_bytes(Encoding.PEM))
    _write(folder / "bundle.key", _pem(own))
    _write(folder / "release.key", _pem(Ed25519PrivateKey.generate()))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Handset"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    builder = (
        x509.CertificateBuilder(serial_number=x509.random_serial_number())
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(_usage(authority=issuer is None), critical=True)
    )
    return builder.sign(signer, SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
