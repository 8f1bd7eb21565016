"""An identity provider: keys, a key set, signed tokens."""

import asyncio
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

ISSUER, AUDIENCE = "https://idp.example.com/", "calls-gateway"


class Provider:
    """Signs with the key `kid`, which `rotate` replaces."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_down = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.rotate("one")

    def rotate(self, kid: str) -> None:
        """Replaces the key by a new one with this id."""
        self.kid, self.key = kid, generate_private_key(SECP256R1())

    @property
    def pem(self) -> str:
        """The public key."""
        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def key_set(self) -> bytes:
        """The JWKS, with other keys that are unusable for signatures."""
        jwk = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        shared = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "shared"}
        for_secrets = jwk | {"kid": "enc", "use": "enc"}
        return json.dumps({"keys": [jwk | {"kid": self.kid}, shared, for_secrets, {}]}).encode()

    async def read(self) -> bytes:
        """The `read` function of a KeySet."""
        self.reads += 1
        await self.answers.wait()
        if self.is_down:
            raise OSError("down")
        return self.key_set()

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A valid token with these headers and claims changed; a claim of None is left out."""
        whole = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "kevin",
            "exp": int(time.time()) + 300,
            "scope": "read pii",
        } | claims
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(kept, self.key, "ES256", headers={"kid": self.kid} | (headers or {}))
