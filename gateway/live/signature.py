"""How a webhook proves that it is Twilio's (FACTS section 9). Pure: text in, yes or no out.

Twilio signs the URL that it called and, of a form, every parameter; of another body, a hash that
the URL carries. Written with the standard library; `twilio.request_validator` is held against it in
the tests. This module must not know HTTP, settings or what a webhook says.
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
    """What may have signed: auth tokens by HMAC-SHA1 (several while one is replaced), or shared
    keys by HMAC-SHA256."""

    auth_tokens: tuple[Secret, ...] = ()
    shared_keys: tuple[Secret, ...] = ()

    def of(self, algorithm: str) -> tuple[Secret, ...]:
        """The keys that are used with an algorithm; none for one that is not known."""
        return {HMAC_SHA1: self.auth_tokens, HMAC_SHA256: self.shared_keys}.get(algorithm, ())


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A webhook as it came. `url` is the one that Twilio called; `form` is None for other bodies.

    A byte of the form that is not UTF-8 stands in it as half a surrogate pair ("surrogateescape").

    `settings` is the header X-Twilio-Webhooks-Signature-Settings, empty where there is none.
    """

    url: str
    signature: str
    body: bytes = b""
    form: Form | None = None
    settings: str = ""


def is_genuine(request: SignedRequest, keys: SigningKeys) -> bool:
    """True when one of the keys has signed exactly this request."""
    if request.form is None and not _has_hash_of_body(request):
        return False
    algorithm = _algorithm(request.settings)
    given = request.signature.encode()
    expected = [
        signature_of(url, request.form or (), key, algorithm).encode()
        for url in _urls(request.url)
        for key in keys.of(algorithm)
    ]
    return any(hmac.compare_digest(given, one) for one in expected)


def signature_of(url: str, form: Form, key: Secret, algorithm: str = HMAC_SHA1) -> str:
    """The signature of a request: its URL, then names and values sorted by code point.

    A value that is given twice under one name counts once. Bytes are signed, as they were sent: a
    signature for one that is not UTF-8 holds for no other, nor for U+FFFD.
    """
    text = url + "".join(name + value for name, value in sorted(set(form)))
    signed = text.encode("utf-8", "surrogateescape")
    digest = hmac.new(key.reveal().encode(), signed, HASHES[algorithm]).digest()
    return base64.b64encode(digest).decode()


def _has_hash_of_body(request: SignedRequest) -> bool:
    """A body that is no form is signed by its hash in the URL only; without one it is not."""
    given = parse_qs(request.url.partition("?")[2]).get("bodySHA256", [""])[0]
    return hmac.compare_digest(given.encode(), hashlib.sha256(request.body).hexdigest().encode())


def _algorithm(settings: str) -> str:
    """`key=...,algorithm=HMAC_SHA256`; without an algorithm it is the auth token's."""
    found = re.search(r"(?:^|,)\s*algorithm\s*=\s*([^,\s]+)", settings)
    return found[1].upper() if found else HMAC_SHA1


def _urls(url: str) -> Iterator[str]:
    """The URL without and with its port: Twilio signs either way (FACTS section 9)."""
    scheme, _, rest = url.partition("://")
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    host, port = re.fullmatch(r"(.*?)(?::([0-9]+))?", place, re.DOTALL).groups()  # type: ignore[union-attr]
    path = rest[len(place) :]
    yield f"{scheme}://{host}{path}"
    yield f"{scheme}://{host}:{port or DEFAULT_PORTS.get(scheme)}{path}"
