"""Checks that Twilio signed a webhook. Pure: text in, yes or no out.

See docs/twilio.md#9-webhooks.

Twilio signs the URL that it called. It also signs every parameter of a form; it signs any other
body by a hash in the URL. Written with the standard library; the tests compare it with
`twilio.request_validator`. This module must not know HTTP, settings or what a webhook says.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs

from gateway.settings import Secret

__all__ = ["Form", "SignedRequest", "SigningKeys", "is_genuine", "signature_of"]

HMAC_SHA1 = "HMAC_SHA1"
HMAC_SHA256 = "HMAC_SHA256"
HASHES = {HMAC_SHA1: hashlib.sha1, HMAC_SHA256: hashlib.sha256}
DEFAULT_PORTS = {"https": 443, "http": 80}
Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Auth tokens, which sign by HMAC-SHA1 (several while one is replaced), and shared keys, which
    sign by HMAC-SHA256."""

    auth_tokens: tuple[Secret, ...] = ()
    shared_keys: tuple[Secret, ...] = ()

    def for_algorithm(self, algorithm: str) -> tuple[Secret, ...]:
        """The keys that sign by this algorithm; none for an unknown algorithm."""
        return {HMAC_SHA1: self.auth_tokens, HMAC_SHA256: self.shared_keys}.get(algorithm, ())


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A webhook as received. `url` is the one that Twilio called; `form` is None for other bodies.

    The form holds each byte that is not UTF-8 as half a surrogate pair ("surrogateescape").
    `settings` is the header X-Twilio-Webhooks-Signature-Settings, empty when it is missing.
    """

    url: str
    signature: str
    body: bytes = b""
    form: Form | None = None
    settings: str = ""


def is_genuine(request: SignedRequest, keys: SigningKeys) -> bool:
    """True when one of the keys signed exactly this request."""
    if request.form is None and not _has_hash_of_body(request):
        return False
    algorithm = _algorithm(request.settings)
    received = request.signature.encode()
    expected = [
        signature_of(url, request.form or (), key, algorithm).encode()
        for url in _urls(request.url)
        for key in keys.for_algorithm(algorithm)
    ]
    return any(hmac.compare_digest(received, signature) for signature in expected)


def signature_of(url: str, form: Form, key: Secret, algorithm: str = HMAC_SHA1) -> str:
    """The signature of a request: its URL, then names and values sorted by code point.

    Equal values of one name count once. The signature covers the bytes as sent: that of a byte
    that is not UTF-8 matches no other byte, nor U+FFFD.
    """
    text = url + "".join(name + value for name, value in sorted(set(form)))
    signed = text.encode("utf-8", "surrogateescape")
    digest = hmac.new(key.reveal().encode(), signed, HASHES[algorithm]).digest()
    return base64.b64encode(digest).decode()


def _has_hash_of_body(request: SignedRequest) -> bool:
    """Only a hash in the URL signs a body that is not a form; without the hash it is unsigned."""
    received = parse_qs(request.url.partition("?")[2]).get("bodySHA256", [""])[0]
    return hmac.compare_digest(received.encode(), hashlib.sha256(request.body).hexdigest().encode())


def _algorithm(settings: str) -> str:
    """Reads `key=...,algorithm=HMAC_SHA256`; the default is the auth token's algorithm."""
    match = re.search(r"(?:^|,)\s*algorithm\s*=\s*([^,\s]+)", settings)
    return match[1].upper() if match else HMAC_SHA1


def _urls(url: str) -> Iterator[str]:
    """The URL without and with its port: Twilio signs either (docs/twilio.md#9-webhooks)."""
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    host, port = re.fullmatch(r"(.*?)(?::([0-9]+))?", authority, re.DOTALL).groups()  # type: ignore[union-attr]
    path = rest[len(authority) :]
    yield f"{scheme}://{host}{path}"
    yield f"{scheme}://{host}:{port or DEFAULT_PORTS.get(scheme)}{path}"
