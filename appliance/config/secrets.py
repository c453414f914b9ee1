"""Where secrets come from: "credential:NAME", "env:NAME", "file:PATH", or the value itself."""

import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from appliance.errors import ConfigurationInvalid

CREDENTIAL_STORE: Final = "/etc/credstore"
SEALED_STORE: Final = "/etc/credstore.encrypted"
_DECRYPT_SECONDS: Final = 20.0
CREDENTIAL_PREFIX: Final = "handset."
_REFERENCE: Final = re.compile(r"^(credential|env|file):(.+)$", re.DOTALL)


def is_reference(value: str) -> bool:
    """True when `value` names a secret and is none itself: it may be shown."""
    return bool(_REFERENCE.match(value))


def reveal(secret: SecretStr, environ: Mapping[str, str] = os.environ) -> str:
    """The secret itself. Raise ConfigurationInvalid, with a remedy, where its reference leads nowhere."""
    value = secret.get_secret_value()
    match = _REFERENCE.match(value)
    if match is None:
        return value
    kind, name = match.groups()
    if kind == "env":
        return _from_environment(name, environ)
    if kind == "credential":
        return _from_credential(name, environ)
    return _from_file(Path(name))


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    try:
        return environ[name]
    except KeyError:
        raise ConfigurationInvalid(f"the environment has no {name}", hint=f"export {name}=...") from None


def _from_credential(name: str, environ: Mapping[str, str]) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory and (kept := _from_store(name)) is not None:
        return kept
    if not directory:
        raise ConfigurationInvalid(
            f"credential {name} is not there: the service manager gave no CREDENTIALS_DIRECTORY",
            hint=f"run it as a service with LoadCredential={name}:..., or write env:NAME or file:PATH instead",
        )
    if "/" in name or name.startswith("."):
        raise ConfigurationInvalid(f"{name!r} is no credential name", hint="a credential name has no slash")
    # One that systemd imported by pattern keeps the name that it has in its store, among those of other services.
    for path in (Path(directory) / name, Path(directory) / f"{CREDENTIAL_PREFIX}{name}"):
        # Where it found none at all, systemd leaves a directory that only root may look into.
        if os.access(path, os.R_OK):
            return _read(path)
    raise ConfigurationInvalid(
        f"credential {name} is not there",
        hint=f"sudo install -m 600 /dev/stdin {CREDENTIAL_STORE}/{CREDENTIAL_PREFIX}{name}, then restart the service",
    )


def _from_store(name: str) -> str | None:
    """Outside the service, as for root's `handset check`: from where systemd takes it. None where it cannot be had."""
    if "/" in name or name.startswith("."):
        return None
    plain, sealed = (Path(store) / f"{CREDENTIAL_PREFIX}{name}" for store in (CREDENTIAL_STORE, SEALED_STORE))
    try:
        if plain.is_file():
            return _read(plain)
        if not sealed.is_file():
            return None
        opening = ["systemd-creds", "decrypt", f"--name={CREDENTIAL_PREFIX}{name}", str(sealed), "-"]
        done = subprocess.run(opening, capture_output=True, text=True, timeout=_DECRYPT_SECONDS, check=True)
    except (OSError, ConfigurationInvalid, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.rstrip("\r\n")


def _from_file(path: Path) -> str:
    text = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationInvalid(f"{path} can be read by others", hint=f"chmod 600 {path}")
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError as error:
        raise ConfigurationInvalid(
            f"{path} cannot be read: there is no such file",
            hint=f"make it, readable for its owner alone: install -D -m 600 /dev/stdin {path}",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationInvalid(f"{path} is not text", hint="it must be UTF-8") from error
    except OSError as error:
        raise ConfigurationInvalid(
            f"{path} cannot be read: {error.strerror}", hint="correct its rights, or the path"
        ) from error
