"""Masks: enough to recognise a known number, never enough to call it."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.access.masking import HIDDEN, masked_party, masked_text


@pytest.mark.parametrize(
    ("value", "mask"),
    [
        ("+16175551212", "+1617•••1212"),
        ("+442079460018", "+4420•••0018"),
        ("16175551212", "1617•••1212"),
        ("+4930123456", "+•••56"),
        ("+49301234", "+•••34"),
        ("+491234", "+•••"),
        ("86753", "•••"),
        ("client:alice", "client:•••"),
        ("client:", "client:•••"),
        ("sip:kevin@example.com", "sip:•••@example.com"),
        ("sip:+16175551212@pbx.example.com:5060;transport=tls", "sip:•••@pbx.example.com:5060"),
        ("sips:a@[2001:db8::1]?X-From=%2B16175551212", "sips:•••@[2001:db8::1]"),
        ("kevin@example.com", "•••@example.com"),
        ("sim:HS0123", "•••"),
        ("JOHN DOE", "•••"),
        ("+1 (617) 555-1212", "•••"),
        ("+1617555121a", "•••"),
        ("sip:a@b@c", "•••"),
        ("anonymous", "•••"),
    ],
)
def test_one_end_of_a_call(value: str, mask: str) -> None:
    assert masked_party(value) == mask


@given(st.from_regex(r"\+?[0-9]{1,20}", fullmatch=True))
def test_a_number_hides_at_least_three_digits_and_shows_at_most_eight(number: str) -> None:
    mask = masked_party(number)
    shown = re.sub(r"\D", "", mask)

    assert HIDDEN in mask
    assert len(shown) <= 8
    assert len(shown) <= max(0, len(number.lstrip("+")) - 3)


@example("@0")
@given(st.text())
def test_a_mask_never_reveals_the_value(value: str) -> None:
    """It shows at most a number's outer digits or a host."""
    mask = masked_party(value)

    assert HIDDEN in mask
    assert value not in mask or value in HIDDEN or value in {"client:", ""}
    assert masked_text(value) == HIDDEN
