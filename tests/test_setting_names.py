"""Variables that look like settings: those of Kubernetes are ignored, mistakes are warned of."""

import pytest

from gateway.settings import Settings, SettingsError, settings_by_name, unknown_settings
from gateway.settings.names import own_variables
from gateway.settings.values import is_secret

KUBERNETES = {
    "GATEWAY_SERVICE_HOST": "10.0.0.1",
    "GATEWAY_SERVICE_PORT": "8000",
    "GATEWAY_SERVICE_PORT_HTTP": "8000",
    "GATEWAY_PORT": "tcp://10.0.0.1:8000",
    "GATEWAY_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "GATEWAY_PORT_8000_TCP_PROTO": "tcp",
    "GATEWAY_PORT_8000_TCP_PORT": "8000",
    "GATEWAY_PORT_8000_TCP_ADDR": "10.0.0.1",
}


@pytest.mark.parametrize("service", ["GATEWAY_", "GATEWAY_VALKEY_", "GATEWAY_2_"])
def test_what_kubernetes_sets_beside_a_service_is_ignored(service: str) -> None:
    """A Service named gateway, or one whose name begins with `gateway-`."""
    given = {name.replace("GATEWAY_", service): value for name, value in KUBERNETES.items()}

    assert Settings.from_environment(given) == Settings()
    assert unknown_settings(given) == []


def test_an_option_takes_precedence_and_is_never_taken_for_one_of_kubernetes() -> None:
    read = Settings.from_environment

    assert read(KUBERNETES, {"GATEWAY_PORT": "81"}).server.port == 81
    assert read({"GATEWAY_PORT": "80"}, {"GATEWAY_PORT": "81"}).server.port == 81
    with pytest.raises(SettingsError, match=r"^GATEWAY_PORT: must be "):
        read({}, {"GATEWAY_PORT": "tcp://10.0.0.1:8000"})


def test_no_setting_is_taken_for_a_variable_of_kubernetes_or_a_mistake() -> None:
    fields = settings_by_name()
    files = [f"{name}_FILE" for name, row in fields.items() if is_secret(row.type)]
    every = dict.fromkeys([*fields, *files], "1")

    assert own_variables(every) == every
    assert unknown_settings(every) == []


def test_what_commands_ask_a_running_gateway_with_is_no_mistake() -> None:
    assert unknown_settings({"GATEWAY_URL": "http://a", "GATEWAY_TOKEN": "gwt_a"}) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("GATEWAY_PROT", "GATEWAY_PORT"),
        ("GATEWAY_PORTS", "GATEWAY_PORT"),
        ("GATEWAY_port", "GATEWAY_PORT"),
        ("GATEWAY_LOGLEVEL", "GATEWAY_LOG_LEVEL"),
        ("GATEWAY_STORE_URL_FILES", "GATEWAY_STORE_URL_FILE"),
        ("GATEWAY_XYZ", None),
    ],
)
def test_a_name_that_is_no_setting_is_warned_of_with_the_nearest(
    name: str, near: str | None
) -> None:
    """Without its value; not where it is empty, nor other programs' variables."""
    given = {name: "hunter2", "GATEWAY_EMPTY": " ", "TWILIO_X": "1", "GATEWAY": "1"}
    question = f"; did you mean {near}?" if near else ""

    assert unknown_settings(given) == [f"{name}: is no setting{question}"]
