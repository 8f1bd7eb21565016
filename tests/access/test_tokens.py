"""Mode token: hashes only, every line compared, a one-line error for a bad file."""

from hashlib import sha256

import pytest

from gateway.access import Scope
from gateway.access.tokens import TokenAccess, TokenLine, new_token, parse_tokens_file
from gateway.errors import Unauthenticated

DIGEST = sha256(b"gwt_known").hexdigest()
OTHER = sha256(b"gwt_other").hexdigest()


def access(text: str) -> TokenAccess:
    """The access mode with these lines."""
    return TokenAccess(parse_tokens_file(text))


async def test_a_known_token_is_its_lines_caller() -> None:
    access_mode = access(f"# made by gateway token\n\nops read,pii {DIGEST}\nweb read {OTHER}\n")

    caller = await access_mode.identify("Bearer gwt_known")
    assert (caller.name, set(caller.scopes)) == ("ops", {Scope.READ, Scope.PII})
    assert (await access_mode.identify("bearer  gwt_other ")).name == "web"


@pytest.mark.parametrize(
    "presented",
    [
        None, "", "Bearer", "Bearer ", "Bearer gwt_unknown", "Basic Z3d0X2tub3du", "gwt_known",
        "Bearer gwt_known extra", "Bearer gwt_known, Bearer gwt_known", f"Bearer {DIGEST}",
        "Bearer gwt_known\x00", "Bearer " + "a" * 10_000, "Bearer gwt_knowñ", "Token gwt_known",
    ],
)  # fmt: skip
async def test_any_other_credential_is_refused_and_not_repeated(
    presented: str | None,
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await access(f"ops read {DIGEST}").identify(presented)

    assert "gwt" not in str(refused.value)


async def test_an_overlong_header_is_refused_before_comparison() -> None:
    lengthy = "a" * 10_000
    with pytest.raises(Unauthenticated):
        await access(f"ops read {sha256(lengthy.encode()).hexdigest()}").identify(
            f"Bearer {lengthy}"
        )


async def test_without_lines_every_token_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        await access("").identify("Bearer gwt_known")


def test_a_new_token_is_kept_as_its_hash_only() -> None:
    token, line = new_token("ops", "pii,read")

    assert str(line) == f"ops read,pii {sha256(token.encode()).hexdigest()}"
    assert parse_tokens_file(str(line)) == [line]
    assert len(token) >= 43
    assert token not in repr(line)
    assert new_token("ops", "read")[0] != token


async def test_a_new_token_is_accepted_with_its_line() -> None:
    token, line = new_token("ops", "call")

    assert (await TokenAccess([line]).identify(f"Bearer {token}")).scopes == {Scope.CALL}


@pytest.mark.parametrize(
    "line",
    [
        "ops read", f"ops {DIGEST}", f"ops read {DIGEST} more", f"ops write {DIGEST}",
        f"ops read, {DIGEST}", f"ops read {DIGEST[:-1]}", f"ops read {DIGEST.upper()}",
        f"-ops read {DIGEST}", f"o/ps read {DIGEST}", f"{'o' * 65} read {DIGEST}",
        "ops read gwt_known",
    ],
)  # fmt: skip
def test_an_invalid_line_is_named_by_its_number_and_not_repeated(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 3: ") as refused:
        parse_tokens_file(f"# first\nops read {DIGEST}\n{line}\n")

    assert "gwt_" not in str(refused.value)
    assert DIGEST[:-1] not in str(refused.value)


def test_a_name_may_have_two_tokens_while_one_replaces_the_other() -> None:
    lines = [TokenLine.parse(f"ops read {digest}") for digest in (DIGEST, OTHER)]

    assert parse_tokens_file("\n".join(map(str, lines))) == lines
