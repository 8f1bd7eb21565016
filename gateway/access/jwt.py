"""Mode `jwt`: tokens that an identity provider signs, verified with its public keys.

Only asymmetric algorithms are accepted: neither `none`, nor a public key used as a shared secret.
This module must not know HTTP: the caller passes in the function that reads the key set.

Note [Keys that change]. A provider rotates its keys and publishes a new key in its key set before
or when it first signs with it. So the set is read again when a token names an unknown key, at most
once in MIN_REFRESH_SECONDS, since anyone can make up a key id. It is also read again when it is
older than MAX_KEY_SET_AGE seconds, so that a withdrawn key is not trusted for ever. While the
provider cannot be reached, the known keys stay trusted.
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
MIN_REFRESH_SECONDS = 30.0
MAX_KEY_SET_AGE = 600.0
MAX_SUBJECT_LENGTH = 256
# Seconds since 1970 that every clock can hold: 34,000 years.
FAR_FUTURE = 2**40


@dataclass(frozen=True)
class JwtRequirements:
    """What a token must claim. `leeway` is in seconds; `scopes` maps the claim's words to ours."""

    audience: str
    issuer: str
    leeway: float
    scope_claim: str
    scopes: Mapping[str, Scope]


class KeyProvider(Protocol):
    """A source of public keys."""

    async def find(self, kid: str | None) -> Any:
        """The key with this id, for PyJWT. Raises Unauthenticated or AccessUnavailable."""


class FixedKey:
    """One public key for every token, whatever key id it names. Raises ValueError for a bad PEM."""

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
    """A JWKS: see Note [Keys that change]. `read` returns its bytes, or raises OSError."""

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = -MAX_KEY_SET_AGE
        self._attempted_at = -MAX_KEY_SET_AGE
        self._refresh_lock = asyncio.Lock()

    async def find(self, kid: str | None) -> jwt.PyJWK:
        """As in KeyProvider. A token without a key id matches the only key of the set."""
        # A token with a known key does not wait for a refresh that another token caused.
        if self._needs_refresh(kid) and not (self._refresh_lock.locked() and self._known(kid)):
            async with self._refresh_lock:
                if self._needs_refresh(kid):
                    await self._refresh()
        key = self._known(kid)
        if key is None and not self._keys:
            raise AccessUnavailable("The public keys that verify tokens cannot be read now")
        if key is None:
            raise Unauthenticated("This token is signed with an unknown key")
        return key

    def _known(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _needs_refresh(self, kid: str | None) -> bool:
        now = self._clock()
        is_needed = self._known(kid) is None or now - self._read_at >= MAX_KEY_SET_AGE
        return is_needed and now - self._attempted_at >= MIN_REFRESH_SECONDS

    async def _refresh(self) -> None:
        try:
            self._keys = _parse_key_set(await self._read())
            self._read_at = self._clock()
        except (OSError, ValueError) as error:
            log.warning("the key set (GATEWAY_JWT_JWKS_URL) cannot be read: %s", _reason(error))
        self._attempted_at = self._clock()


def _reason(error: Exception) -> str:
    return "it is not a key set" if isinstance(error, ValueError) else "no response"


def _parse_key_set(body: bytes) -> dict[str | None, jwt.PyJWK]:
    """The keys that verify signatures with ALGORITHMS. Raises ValueError unless it is a key set."""
    try:
        listed = msgspec.json.decode(body, type=dict[str, Any]).get("keys")
        entries = msgspec.convert(listed, list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("not a key set") from None
    keys = (_signature_key(entry) for entry in entries if entry.get("use", "sig") == "sig")
    return {key.key_id: key for key in keys if key is not None}


def _signature_key(entry: dict[str, Any]) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    has_valid_id = isinstance(key.key_id, str | None)
    return key if has_valid_id and key.algorithm_name in ALGORITHMS else None


class JwtAccess:
    """Authenticates callers by a JWT that matches the requirements and one of the keys."""

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
                raise Unauthenticated("This token is not signed with an accepted algorithm")
            claims = self._claims(token, await self._keys.find(header.get("kid")))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("This token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthenticated("This token is not valid") from None
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
        claim = claims.get(self._requirements.scope_claim)
        words = claim.split() if isinstance(claim, str) else claim
        if not isinstance(words, list):
            return frozenset()
        granted = self._requirements.scopes
        known = (word for word in words if isinstance(word, str) and word in granted)
        return frozenset(granted[word] for word in known)


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
        raise Unauthenticated("This token's subject is missing or too long")
    return subject
