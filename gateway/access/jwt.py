"""Mode `jwt`: signed tokens of an identity provider, checked with its public keys.

Signatures are asymmetric only: no token says `none`, and none is signed with a public key as if it
were a shared secret. This module must not know HTTP: who reads the key set is handed in.

Note [Keys that change]. A provider changes its keys and announces a new one in its key set before
it signs with it, or at that moment. So the set is read again when a token names a key that is not
in it, at most once in REREAD seconds, since anyone can make up a name; and when it is older than
MAX_AGE, so that a key that was withdrawn is not trusted for ever. While the provider cannot be
reached, the keys that are known go on being trusted.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
import msgspec

from gateway.access.authorization import bearer_token
from gateway.access.callers import Caller, Scope
from gateway.errors import AccessUnavailable, Unauthenticated

__all__ = ["ALGORITHMS", "FixedKey", "JwtAccess", "JwtRequirements", "KeyProvider", "KeySet"]

log = logging.getLogger(__name__)

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
REREAD = 30.0
MAX_AGE = 600.0
MAX_SUBJECT = 256
# Seconds since 1970 that any clock can hold: 34,000 years.
FAR_FUTURE = 2**40


@dataclass(frozen=True)
class JwtRequirements:
    """What a token must say. `leeway` in seconds; `scopes` from the claim's words to ours."""

    audience: str
    issuer: str
    leeway: float
    scope_claim: str
    scopes: Mapping[str, Scope]


class KeyProvider(Protocol):
    """Where public keys come from."""

    async def find(self, kid: str | None) -> Any:
        """The key of this id, for PyJWT. Raises Unauthenticated or AccessUnavailable."""


class FixedKey:
    """One public key, whatever id a token names. Raises ValueError where the PEM is none."""

    def __init__(self, pem: str) -> None:
        if "PUBLIC KEY" not in pem:
            raise ValueError("must hold a public key in PEM")
        self._key = _public_key(pem)

    async def find(self, kid: str | None) -> Any:
        """The key."""
        return self._key


def _public_key(pem: str) -> Any:
    for kind in (jwt.algorithms.RSAAlgorithm, jwt.algorithms.ECAlgorithm):
        try:
            return kind(kind.SHA256).prepare_key(pem)
        except (jwt.InvalidKeyError, TypeError, ValueError):
            continue
    try:
        return jwt.algorithms.OKPAlgorithm().prepare_key(pem)
    except (jwt.InvalidKeyError, TypeError, ValueError):
        raise ValueError("must hold an RSA, EC or Ed25519 public key in PEM") from None


class KeySet:
    """A JWKS: see Note [Keys that change]. `read` gives its bytes, or raises OSError."""

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = -MAX_AGE
        self._tried_at = -MAX_AGE
        self._turn = asyncio.Lock()

    async def find(self, kid: str | None) -> jwt.PyJWK:
        """As Keys. A token that names no key is of the only one."""
        # Whoever's key is known does not wait for a set that is being read for others.
        if self._is_due(kid) and not (self._turn.locked() and self._known(kid)):
            async with self._turn:
                if self._is_due(kid):
                    await self._refresh()
        key = self._known(kid)
        if key is None and not self._keys:
            raise AccessUnavailable("The keys that tokens are checked with cannot be read now")
        if key is None:
            raise Unauthenticated("This token is signed with a key that is not known here")
        return key

    def _known(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _is_due(self, kid: str | None) -> bool:
        now = self._clock()
        is_wanted = self._known(kid) is None or now - self._read_at >= MAX_AGE
        return is_wanted and now - self._tried_at >= REREAD

    async def _refresh(self) -> None:
        try:
            self._keys = _keys_of(await self._read())
            self._read_at = self._clock()
        except (OSError, ValueError) as error:
            log.warning("the key set (GATEWAY_JWT_JWKS_URL) cannot be read: %s", _kind(error))
        self._tried_at = self._clock()


def _kind(error: Exception) -> str:
    return "it is no key set" if isinstance(error, ValueError) else "no answer"


def _keys_of(body: bytes) -> dict[str | None, jwt.PyJWK]:
    """The keys that verify signatures with one of our algorithms. Raises ValueError for no set."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any]).get("keys")
        given = msgspec.convert(found, list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("no key set") from None
    keys = (_usable(entry) for entry in given if entry.get("use", "sig") == "sig")
    return {key.key_id: key for key in keys if key is not None}


def _usable(entry: dict[str, Any]) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    is_text = isinstance(key.key_id, str | None)
    return key if is_text and key.algorithm_name in ALGORITHMS else None


class JwtAccess:
    """Lets in whoever presents a token that the terms and the keys hold for."""

    challenge = 'Bearer realm="gateway"'

    def __init__(self, keys: KeyProvider, requirements: JwtRequirements) -> None:
        self._keys = keys
        self._requirements = requirements

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """The token's subject, with the scopes that its claim grants."""
        token = bearer_token(authorization)
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise Unauthenticated("This token is not signed with an algorithm taken here")
            claims = self._claims(token, await self._keys.find(header.get("kid")))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("This token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthenticated("This token is not valid here") from None
        expires = min(int(claims["exp"]), FAR_FUTURE) + self._requirements.leeway
        return Caller(_subject(claims), self._scopes(claims), expires=expires)

    def _claims(self, token: str, key: Any) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=self._requirements.audience,
            issuer=self._requirements.issuer,
            leeway=self._requirements.leeway,
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "enforce_minimum_key_length": True,
            },
        )
        return claims

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        given = claims.get(self._requirements.scope_claim)
        words = given.split() if isinstance(given, str) else given
        if not isinstance(words, list):
            return frozenset()
        granted = self._requirements.scopes
        known = (word for word in words if isinstance(word, str) and word in granted)
        return frozenset(granted[word] for word in known)


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise Unauthenticated("This token's subject is missing or too long")
    return subject
