"""Who a client with a certificate is, for the application: the variables that mod_ssl has for it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mpm_worker.tls import TlsSocket

_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""The names of RFC 4514, section 3; others are written as OpenSSL has them."""


def client_environ(sock: TlsSocket) -> dict[str, str]:
    """Of a handshake that is done, with a certificate that was found good."""
    found: dict[str, Any] = sock.getpeercert() or {}
    whole = sock.getpeercert(binary_form=True) or b""
    return {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_S_DN": _native(distinguished_name(found.get("subject", ()))),
        "SSL_CLIENT_I_DN": _native(distinguished_name(found.get("issuer", ()))),
        "SSL_CLIENT_M_SERIAL": found.get("serialNumber", ""),
        "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(whole),
    }


def distinguished_name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """A name as `ssl` has it, in the form of RFC 4514: the last part first."""
    return ",".join(
        "+".join(f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in part)
        for part in reversed(parts)
    )


def _native(text: str) -> str:
    """As all strings of the environ: each letter stands for a byte (PEP 3333), here of UTF-8."""
    return text.encode().decode("latin-1")


def _escaped(value: str) -> str:
    text = "".join(f"\\{each}" if each in ',+"\\<>;' else each for each in value).replace("\0", "\\00")
    if text[:1] in ("#", " "):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if value[1:].endswith(" ") else text
