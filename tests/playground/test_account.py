"""Where the page says it is, and where a credential goes, in a real browser."""

import base64
import json

import pytest
from playwright.sync_api import Locator, expect

from tests.playground.conftest import Visit
from tests.playground.stand_in import ACCOUNT

pytestmark = pytest.mark.xdist_group("browser")  # one browser at a time

QUERY = "{ calls { nodes { sid } } }"


def badge(visit: Visit) -> Locator:
    return visit.page.locator(".badge")


def form(visit: Visit) -> Locator:
    return visit.page.get_by_role("form", name="Credential")


def test_over_the_sandbox_the_title_says_sandbox(visit: Visit, stand_in_url: str) -> None:
    """Nobody asks which account it is, nor for a credential."""
    visit.open(stand_in_url)

    expect(badge(visit)).to_have_text("sandbox")
    expect(form(visit)).to_have_count(0)
    assert not any(url.endswith("/playground/account") for url in visit.requests)


def test_over_an_open_account_the_title_has_its_sid(visit: Visit, stand_in_url: str) -> None:
    """The gateway needs no credential, so the account is asked for at once."""
    visit.open(f"{stand_in_url}?access=none")

    expect(badge(visit)).to_have_text("open")
    expect(form(visit)).to_have_count(0)


def test_a_token_has_one_place_and_goes_with_every_tab(visit: Visit, stand_in_url: str) -> None:
    """Without one nothing is sent and the answer says where it goes; with one the SID appears."""
    visit.open(f"{stand_in_url}?access=token", reads_schema=False)
    visit.write(QUERY)
    visit.run()
    visit.page.locator(".result-window").get_by_text("the form above the tabs").wait_for()
    expect(badge(visit)).to_have_text("Twilio account")
    asked = [url for url in visit.requests if url.endswith(("/graphql", "/account"))]
    form(visit).get_by_label("Token").fill(" right ")
    form(visit).get_by_role("button", name="Use").click()
    expect(badge(visit)).to_have_text(ACCOUNT)
    visit.choose(1, "CallTree")
    visit.write(QUERY)
    visit.run()
    answer = json.loads(visit.answer())

    assert asked == []
    assert answer["extensions"]["authorization"] == "Bearer right"
    expect(form(visit)).to_have_count(0)
    stored = visit.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "right" not in stored


def test_a_refused_token_is_asked_for_again(visit: Visit, stand_in_url: str) -> None:
    """The account stays unknown."""
    visit.open(f"{stand_in_url}?access=jwt", reads_schema=False)
    form(visit).get_by_label("Token").fill("wrong")
    form(visit).get_by_role("button", name="Use").click()
    expect(form(visit).get_by_role("alert")).to_contain_text("refused")

    expect(badge(visit)).to_have_text("Twilio account")
    assert all("401" in error for error in visit.errors)
    visit.errors.clear()


def test_a_header_of_the_user_is_a_credential_too(visit: Visit, stand_in_url: str) -> None:
    """It overrides that of the form."""
    visit.open(f"{stand_in_url}?access=token", reads_schema=False)
    visit.write(QUERY)
    headers = visit.page.locator(".graphiql-editor-tool .CodeMirror").nth(1)
    fill = "(element, text) => element.CodeMirror.setValue(text)"
    headers.evaluate(fill, '{"authorization": "Bearer mine"}')
    visit.run()

    assert json.loads(visit.answer())["extensions"]["authorization"] == "Bearer mine"
    expect(badge(visit)).to_have_text(ACCOUNT)


def test_the_form_fits_a_narrow_window(visit: Visit, stand_in_url: str) -> None:
    """Its text and its fields wrap."""
    visit.page.set_viewport_size({"width": 800, "height": 900})
    visit.open(f"{stand_in_url}?access=passthrough", reads_schema=False)

    for part in form(visit).locator("p, input, button").all():
        expect(part).to_be_in_viewport(ratio=1)


def test_a_twilio_credential_is_sent_as_basic(visit: Visit, stand_in_url: str) -> None:
    """An API key does not name its account, so the SID goes beside it."""
    visit.open(f"{stand_in_url}?access=passthrough", reads_schema=False)
    key = "SK" + "c" * 32
    form(visit).get_by_label("Account SID").fill(ACCOUNT)
    form(visit).get_by_label("API key SID").fill(key)
    form(visit).get_by_label("Auth token or key secret").fill("geheim")
    with visit.page.expect_request("**/playground/account") as asked:
        form(visit).get_by_role("button", name="Use").click()

    expected = base64.b64encode(f"{key}:geheim".encode()).decode()
    assert asked.value.headers["authorization"] == f"Basic {expected}"
    assert asked.value.headers["gateway-account-sid"] == ACCOUNT
    expect(form(visit)).to_have_count(0)
