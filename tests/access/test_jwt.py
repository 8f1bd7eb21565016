"""Mode jwt: forged, expired and foreign tokens are refused, and those of withdrawn keys."""

import asyncio
import base64
import json
import logging
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.access import Caller, Scope
from gateway.access.jwt import (
    ALGORITHMS,
    MAX_KEY_SET_AGE,
    MIN_REFRESH_SECONDS,
    FixedKey,
    JwtAccess,
    JwtRequirements,
    KeySet,
)
from gateway.errors import AccessUnavailable, Unauthenticated
from tests.access.provider import AUDIENCE, ISSUER, Provider

# The time of collection; a run takes minutes.
NOW, DAY = int(time.time()), 86_400
REQUIREMENTS = JwtRequirements(
    audience=AUDIENCE,
    issuer=ISSUER,
    leeway=30,
    scope_claim="scope",
    scopes={"read": Scope.READ, "calls.make": Scope.CALL, "pii": Scope.PII},
)


class Desk:
    """A provider, the access mode that trusts it, and its clock."""

    def __init__(self) -> None:
        self.provider = Provider()
        self.now = 1000.0
        self.access_mode = JwtAccess(KeySet(self.provider.read, lambda: self.now), REQUIREMENTS)

    async def present(self, token: str) -> Caller:
        """The caller that the token authenticates."""
        return await self.access_mode.identify(f"Bearer {token}")


@pytest.fixture
def desk() -> Desk:
    """A new desk."""
    return Desk()


async def test_the_subject_comes_in_with_the_scopes_that_its_words_grant(desk: Desk) -> None:
    caller = await desk.present(desk.provider.token(scope="read calls.make admin"))

    assert caller.name == "kevin"
    assert set(caller.scopes) == {Scope.READ, Scope.CALL}


@pytest.mark.parametrize(
    ("exp", "expected"),
    [(NOW + DAY, NOW + DAY + 30), (NOW + DAY + 0.9, NOW + DAY + 30), (10**400, 2**40 + 30)],
    ids=["whole seconds", "a fraction", "beyond all clocks"],  # the same in every process
)
async def test_a_caller_expires_with_the_token_plus_leeway(
    desk: Desk, exp: float, expected: float
) -> None:
    assert (await desk.present(desk.provider.token(exp=exp))).expires == expected


async def test_an_exp_that_is_no_number_is_refused(desk: Desk) -> None:
    for exp in (float("inf"), float("nan"), "soon", [1]):
        with pytest.raises(Unauthenticated):
            await desk.present(desk.provider.token(exp=exp))


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        (["read", "pii"], {Scope.READ, Scope.PII}),
        ([["read"], 7, None], set()),
        ("", set()),
        ("READ,pii", set()),
        (None, set()),
        ({"read": True}, set()),
        (True, set()),
    ],
)
async def test_a_scope_claim_of_any_shape_grants_what_it_says(
    desk: Desk, scope: Any, granted: set[Scope]
) -> None:
    assert set((await desk.present(desk.provider.token(scope=scope))).scopes) == granted


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 120}, {"exp": None}, {"exp": "soon"}, {"nbf": NOW + DAY}, {"iat": NOW + DAY},
        {"iss": "https://evil.example.com/"}, {"iss": None}, {"aud": "another"}, {"aud": None},
        {"aud": []}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "s" * 257},
    ],
    ids=lambda claims: "-".join(claims),
)  # fmt: skip
async def test_a_token_that_is_late_early_or_for_others_is_refused(
    desk: Desk, claims: dict[str, Any]
) -> None:
    token = desk.provider.token(**claims)
    with pytest.raises(Unauthenticated) as refused:
        await desk.present(token)

    assert token.split(".")[2] not in str(refused.value)


async def test_clocks_may_differ_by_the_leeway(desk: Desk) -> None:
    now = int(time.time())
    token = desk.provider.token(exp=now - 10, nbf=now + 20, aud=["x", AUDIENCE])

    assert (await desk.present(token)).name == "kevin"


def part(value: Any) -> str:
    """Encodes a part of a token."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "exp": NOW + DAY, "scope": "read call pii"}


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "ES256K", "", None, 7, []])
async def test_only_asymmetric_algorithms_are_accepted(desk: Desk, algorithm: Any) -> None:
    token = f"{part({'alg': algorithm, 'kid': 'one'})}.{part(CLAIMS)}.{part(b'signature')}"

    with pytest.raises(Unauthenticated):
        await desk.present(token)


def test_none_and_shared_secrets_are_not_on_the_closed_list() -> None:
    assert not [name for name in ALGORITHMS if not name.startswith(("RS", "PS", "ES", "EdDSA"))]


@pytest.mark.parametrize("kid", ["one", "shared", None])
async def test_no_token_is_signed_with_a_public_key_as_a_secret(
    desk: Desk, kid: str | None
) -> None:
    """Neither the PEM of the provider's key nor the shared key of its set is a secret."""
    for secret in (desk.provider.pem, desk.provider.key_set(), b"secret-secret-secret-secret"):
        header = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
        signed = f"{part(header)}.{part(CLAIMS)}"
        key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        signature = key.sign(
            signed.encode(), secret if isinstance(secret, bytes) else secret.encode()
        )
        with pytest.raises(Unauthenticated):
            await desk.present(f"{signed}.{part(signature)}")


@pytest.mark.parametrize(
    "token", ["a.b.c", "...", "a", "a.b", ".".join([part({}), part({}), ""]), "=" * 9]
)
async def test_a_malformed_token_is_refused(desk: Desk, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await desk.present(token)


async def test_a_changed_token_is_refused(desk: Desk) -> None:
    header, claims, signature = desk.provider.token().split(".")
    other = part(CLAIMS)

    for forged in (f"{header}.{other}.{signature}", f"{header}.{claims}.{part(b'0' * 64)}"):
        with pytest.raises(Unauthenticated):
            await desk.present(forged)


async def test_concurrent_tokens_share_one_read_of_the_key_set(desk: Desk) -> None:
    desk.provider.answers.clear()
    token = desk.provider.token()
    callers = [asyncio.ensure_future(desk.present(token)) for _ in range(5)]
    await asyncio.sleep(0.01)
    callers += [asyncio.ensure_future(desk.present(token)) for _ in range(5)]
    await asyncio.sleep(0.01)
    desk.provider.answers.set()

    assert {caller.name for caller in await asyncio.gather(*callers)} == {"kevin"}
    assert desk.provider.reads == 1


async def test_a_token_with_a_known_key_does_not_wait_for_a_refresh(desk: Desk) -> None:
    token = desk.provider.token()
    await desk.present(token)
    desk.now += MAX_KEY_SET_AGE
    desk.provider.answers.clear()
    waiting = asyncio.ensure_future(desk.present(token))
    await asyncio.sleep(0.01)

    assert (await asyncio.wait_for(desk.present(token), 5)).name == "kevin"
    desk.provider.answers.set()
    assert (await waiting).name == "kevin"


async def test_a_new_key_is_known_as_soon_as_a_token_names_it(desk: Desk) -> None:
    old = desk.provider.token()
    await desk.present(old)
    desk.provider.rotate("two")
    desk.now += MIN_REFRESH_SECONDS

    assert (await desk.present(desk.provider.token())).name == "kevin"
    assert desk.provider.reads == 2
    with pytest.raises(Unauthenticated):
        await desk.present(old)


async def test_made_up_key_ids_do_not_flood_the_provider(desk: Desk) -> None:
    await desk.present(desk.provider.token())
    for number in range(100):
        desk.now += MIN_REFRESH_SECONDS / 40
        with pytest.raises(Unauthenticated):
            await desk.present(desk.provider.token({"kid": f"made-up-{number}"}))

    assert desk.provider.reads == 3


async def test_a_withdrawn_key_is_not_trusted_for_ever(desk: Desk) -> None:
    old = desk.provider.token()
    await desk.present(old)
    desk.provider.rotate("one")
    assert (await desk.present(old)).name == "kevin"
    desk.now += MAX_KEY_SET_AGE

    with pytest.raises(Unauthenticated):
        await desk.present(old)


async def test_while_the_provider_is_down_the_known_keys_are_trusted(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    token = desk.provider.token()
    await desk.present(token)
    desk.provider.is_down = True
    desk.now += MAX_KEY_SET_AGE
    caplog.set_level(logging.WARNING)

    assert (await desk.present(token)).name == "kevin"
    assert "GATEWAY_JWT_JWKS_URL" in caplog.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [7]}', b"\xff"])
async def test_without_keys_access_is_unavailable(desk: Desk, body: bytes) -> None:
    async def read() -> bytes:
        return body

    access_mode = JwtAccess(KeySet(read, lambda: desk.now), REQUIREMENTS)
    with pytest.raises(AccessUnavailable):
        await access_mode.identify(f"Bearer {desk.provider.token()}")


async def test_a_token_without_a_key_name_is_of_the_only_key(desk: Desk) -> None:
    token = jwt.encode(CLAIMS, desk.provider.key, "ES256")

    assert (await desk.present(token)).name == "eve"


def pem_of(key: Any) -> str:
    """A public key in PEM."""
    public = key.public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: generate_private_key(65537, 2048), "RS256"),
        (lambda: generate_private_key(65537, 2048), "PS512"),
        (Ed25519PrivateKey.generate, "EdDSA"),
    ],
    ids=["RS256", "PS512", "EdDSA"],
)
async def test_one_public_key_in_place_of_a_set(make: Any, algorithm: str) -> None:
    key, other = make(), make()
    access_mode = JwtAccess(FixedKey(pem_of(key)), REQUIREMENTS)

    assert (
        await access_mode.identify(f"Bearer {jwt.encode(CLAIMS, key, algorithm)}")
    ).name == "eve"
    with pytest.raises(Unauthenticated):
        await access_mode.identify(f"Bearer {jwt.encode(CLAIMS, other, algorithm)}")


async def test_a_key_too_short_to_trust_is_refused() -> None:
    key = generate_private_key(65537, 1024)  # noqa: S505
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = jwt.encode(CLAIMS, key, "RS256")
    with pytest.raises(Unauthenticated):
        await JwtAccess(FixedKey(pem_of(key)), REQUIREMENTS).identify(f"Bearer {token}")


def test_a_key_file_holds_a_public_key() -> None:
    private = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for text in ("", "secret", private.decode(), "-----BEGIN PUBLIC KEY-----\nAA\n"):
        with pytest.raises(ValueError, match="must hold"):
            FixedKey(text)
