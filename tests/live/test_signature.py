"""docs/twilio.md#9-webhooks: its worked vectors, and the official validator as a second opinion."""

import base64
import hashlib
import hmac
from random import Random
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from gateway.live.signature import Form, SignedRequest, SigningKeys, is_genuine, signature_of
from gateway.settings import Secret
from tests.plain_twilio import TOKEN

URL = "https://app.example.com/voice/status?tenant=7"
FORM: Form = (
    ("CallSid", "CA0123456789abcdef0123456789abcdef"),
    ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
    ("From", "+15005550006"),
    ("To", "+14155550123"),
    ("CallStatus", "completed"),
    ("ApiVersion", "2010-04-01"),
    ("Direction", "outbound-api"),
    ("Duration", "1"),
    ("CallDuration", "42"),
    ("Timestamp", "Tue, 06 Oct 2026 10:00:42 +0000"),
    ("CallbackSource", "call-progress-events"),
    ("SequenceNumber", "3"),
)
SIGNATURE = "VfDAGmDRa9LLSsgjoHkF0KeY4qY="
SHARED_SIGNATURE = "dma96D9Dm5HU/ZFdx94RxkfYHpVCqd1C4tE7O1V1oqo="
SHARED = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
BODY = b'{"CallSid":"CA0123456789abcdef0123456789abcdef","CallStatus":"completed"}'
BODY_URL = (
    "https://app.example.com/voice/json?bodySHA256="
    "a711eb883e74c37e523a26b22ee95f327f89fd4d1d1dfea038b1689cfde2bd6f"
)
KEYS = SigningKeys((Secret(TOKEN),))


def signed(url: str = URL, form: Form | None = FORM, signature: str = SIGNATURE) -> SignedRequest:
    """The worked example with these changes."""
    return SignedRequest(url, signature, form=form)


def test_the_worked_form() -> None:
    assert is_genuine(signed(), KEYS)
    assert signature_of(URL, FORM, Secret(TOKEN)) == SIGNATURE


def test_the_worked_json_body() -> None:
    assert is_genuine(SignedRequest(BODY_URL, "ezmAxxIrSsPGmcgZyWB79e9gnEI=", BODY), KEYS)


def test_the_classic_documented_vector() -> None:
    form = (
        ("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"),
        ("From", "+14158675309"), ("To", "+18005551212"),
    )  # fmt: skip
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"

    assert is_genuine(
        signed(url, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8="), SigningKeys((Secret("12345"),))
    )


def test_a_shared_key_signs_by_sha_256() -> None:
    request = SignedRequest(URL, SHARED_SIGNATURE, form=FORM, settings=SHARED)

    assert is_genuine(request, SigningKeys(shared_keys=(Secret(TOKEN),)))
    assert not is_genuine(request, KEYS)  # an auth token is no shared key
    assert not is_genuine(request, SigningKeys())


@pytest.mark.parametrize("settings", ["algorithm=HMAC_MD5", "key=1, algorithm = none"])
def test_an_algorithm_that_is_not_known_signs_nothing(settings: str) -> None:
    keys = SigningKeys((Secret(TOKEN),), (Secret(TOKEN),))

    assert not is_genuine(SignedRequest(URL, SIGNATURE, form=FORM, settings=settings), keys)


@pytest.mark.parametrize("settings", ["", "key=webhooks_sharedkey_1", "algorithm=HMAC_SHA1"])
def test_the_default_algorithm_is_the_auth_tokens(settings: str) -> None:
    assert is_genuine(SignedRequest(URL, SIGNATURE, form=FORM, settings=settings), KEYS)


def test_while_a_token_is_replaced_either_may_have_signed() -> None:
    old, new = Secret("f" * 32), Secret(TOKEN)

    assert is_genuine(signed(), SigningKeys((old, new)))
    assert is_genuine(signed(), SigningKeys((new, old)))
    assert not is_genuine(signed(), SigningKeys((old,)))
    assert not is_genuine(signed(), SigningKeys())


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com:443/voice/status?tenant=7",
        "https://app.example.com/voice/status?tenant=7",
        "https://app.example.com:8443/voice/status?tenant=7",
    ],
)
def test_the_url_counts_with_and_without_its_port(url: str) -> None:
    """docs/twilio.md#9-webhooks: Twilio signs either URL."""
    assert is_genuine(signed(url), KEYS)
    with_port = signature_of(url, FORM, Secret(TOKEN))
    assert is_genuine(signed(url, signature=with_port), KEYS)


def test_a_default_port_that_twilio_signed_counts() -> None:
    for url, port in ((URL, 443), (URL.replace("https", "http"), 80)):
        place = url.replace("example.com", f"example.com:{port}")

        assert is_genuine(signed(url, signature=signature_of(place, FORM, Secret(TOKEN))), KEYS)


def test_an_ipv6_host_keeps_its_colons() -> None:
    url = "http://[::1]:8000/webhooks/twilio/status"

    for place in (url, url.replace(":8000", "")):
        assert is_genuine(signed(url, signature=signature_of(place, FORM, Secret(TOKEN))), KEYS)


@pytest.mark.parametrize(
    "request_",
    [
        signed(URL.replace("tenant=7", "tenant=8")),
        signed(URL.replace("https", "http")),
        signed(URL.replace("app.", "app2.")),
        signed(form=tuple(pair for pair in FORM if pair[0] != "To")),
        signed(form=(*FORM, ("Extra", "1"))),
        signed(form=tuple((name, value.upper()) for name, value in FORM)),
        signed(signature=SIGNATURE[:-2] + "Z="),
        signed(signature=""),
        signed(signature="é"),
        signed(form=None),  # the same bytes, not as a form
        SignedRequest(BODY_URL, "ezmAxxIrSsPGmcgZyWB79e9gnEI=", BODY + b" "),
        SignedRequest("https://[::1", "", BODY),
    ],
)
def test_a_request_that_differs_from_the_signed_one_is_refused(request_: SignedRequest) -> None:
    assert not is_genuine(request_, KEYS)


def test_bytes_that_are_not_utf_8_are_signed_as_they_are() -> None:
    """A signature for one byte is not valid for another."""
    digest = hmac.new(TOKEN.encode(), URL.encode() + b"CallerNamecaf\xe9", hashlib.sha1).digest()
    signature = base64.b64encode(digest).decode()

    assert is_genuine(signed(form=(("CallerName", "caf\udce9"),), signature=signature), KEYS)
    for other in ("caf\udcea", "caf\ufffd", "caf\xe9", "caf"):
        assert not is_genuine(signed(form=(("CallerName", other),), signature=signature), KEYS)


def test_a_body_whose_hash_is_not_in_the_url_is_refused() -> None:
    """The signature of the URL is valid: it could come from any GET that Twilio sent."""
    url = "https://app.example.com/voice/json"

    assert not is_genuine(SignedRequest(url, signature_of(url, (), Secret(TOKEN)), BODY), KEYS)


class Several(dict[str, list[str]]):
    """A form with several values of a name, as the official validator reads it."""

    def getall(self, name: str) -> list[str]:
        """All values of a name."""
        return self[name]


@given(
    st.dictionaries(st.sampled_from("aAbB"), st.lists(st.sampled_from("123"), min_size=1)),
    st.randoms(),
)
def test_equal_names_have_their_distinct_values_sorted(
    form: dict[str, list[str]], chance: Random
) -> None:
    """docs/twilio.md#9-webhooks: "equal names: distinct values, sorted"; in any order."""
    pairs = [(name, value) for name, values in form.items() for value in values]
    chance.shuffle(pairs)
    signature = RequestValidator(TOKEN).compute_signature(URL, Several(form))

    assert signature_of(URL, tuple(pairs), Secret(TOKEN)) == signature


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
URLS = st.builds(
    "{}://{}{}/webhooks/twilio/status{}".format,
    st.sampled_from(["https", "http"]),
    st.sampled_from(["gateway.example.com", "127.0.0.1", "localhost"]),
    st.sampled_from(["", ":443", ":80", ":8000"]),
    st.dictionaries(TEXT, TEXT, max_size=2).map(
        lambda query: "?" + urlencode(query) if query else ""
    ),
)


@given(URLS, st.dictionaries(TEXT, TEXT, max_size=6), st.booleans(), st.data())
def test_the_official_validator_says_the_same_of_a_form(
    url: str, form: dict[str, str], is_true: bool, data: st.DataObject
) -> None:
    other = data.draw(URLS)
    signature = RequestValidator(TOKEN).compute_signature(url if is_true else other, form)
    verdict = RequestValidator(TOKEN).validate(url, form, signature)

    assert is_genuine(signed(url, tuple(form.items()), signature), KEYS) == verdict
    assert verdict or not is_true


@given(URLS, TEXT, st.booleans())
def test_the_official_validator_says_the_same_of_a_body(url: str, body: str, is_true: bool) -> None:
    raw = body.encode() if is_true else body.encode() + b"x"
    mark = "&" if "?" in url else "?"
    url += f"{mark}bodySHA256={hashlib.sha256(raw).hexdigest()}"
    signature = RequestValidator(TOKEN).compute_signature(url, {})

    assert is_genuine(SignedRequest(url, signature, body.encode()), KEYS) == is_true
    assert RequestValidator(TOKEN).validate(url, body, signature) == is_true


@given(URLS, st.dictionaries(TEXT, TEXT, max_size=6))
def test_the_official_validator_takes_our_signatures(url: str, form: dict[str, str]) -> None:
    for algorithm in ("HMAC_SHA1", "HMAC_SHA256"):
        signature = signature_of(url, tuple(form.items()), Secret(TOKEN), algorithm)

        assert RequestValidator(TOKEN).validate(url, form, signature, algorithm)
