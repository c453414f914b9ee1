# SPDX-License-Identifier: Apache-2.0
"""What was wrong with a server's certificate, as a sentence and its remedy. Pure."""

from collections.abc import Mapping
from typing import Final

# pj_ssl_cert_verify_flag_t of the library, worst first: a certificate can be wrong in several ways at once.
_FLAGS: Final[Mapping[int, tuple[str, str]]] = {
    1 << 2: (
        "the server's certificate has expired, or is not valid yet",
        "have it renewed at the server, and check this machine's clock",
    ),
    1 << 30: ("the server's certificate is for another name", "set sip.server to a name that stands in it"),
    1 << 7: ("the server's certificate was revoked", "have it replaced at the server"),
    1 << 0 | 1 << 1 | 1 << 5: (
        "the issuer of the server's certificate is not known",
        "set sip.ca to the certificate of the authority that issued it",
    ),
}
_OTHER: Final = ("the server's certificate cannot be trusted", "set sip.ca, or have it renewed at the server")


def fault(status: int, subject: str = "") -> tuple[str, str]:
    """Message and hint for the library's verification `status`, which is not 0; `subject` names the certificate."""
    message, hint = next((told for flag, told in _FLAGS.items() if status & flag), _OTHER)
    name = "".join(letter for letter in subject if letter.isprintable())[:80]
    return (f"{message} ({name})" if name else message), hint
