"""Variables that look like settings: those that Kubernetes sets, and mistyped names.

This module must not know the settings, nor repeat a value.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

__all__ = ["TOKEN_VARIABLE", "URL_VARIABLE", "own_variables", "unknown_names"]

URL_VARIABLE = "GATEWAY_URL"
TOKEN_VARIABLE = "GATEWAY_TOKEN"  # noqa: S105 (a name)
"""For commands that ask a running gateway: where it is, and as whom. No settings of a gateway."""
# Beside a Service named gateway, or gateway-…, Kubernetes sets these in every container.
_KUBERNETES = re.compile(
    r"GATEWAY_(PORT|SERVICE)_\w+|GATEWAY_\w+_(SERVICE_(HOST|PORT\w*)|PORT_\d+_\w+)"
)
_KUBERNETES_PORT = re.compile(r"GATEWAY_(\w+_)?PORT")
_KUBERNETES_URL = re.compile(r"(tcp|udp|sctp)://.+")
_NAME = re.compile(r"GATEWAY_\w+", re.ASCII)
_PREFIX = "GATEWAY_"


def own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set, without those of Kubernetes. Empty ones count as not set."""
    given = {name: value.strip() for name, value in environment.items()}
    return {
        name: value
        for name, value in given.items()
        if value and not _is_kubernetes_own(name, value)
    }


def _is_kubernetes_own(name: str, value: str) -> bool:
    if _KUBERNETES.fullmatch(name):
        return True
    return bool(_KUBERNETES_PORT.fullmatch(name) and _KUBERNETES_URL.fullmatch(value))


def unknown_names(given: Iterable[str], known: Iterable[str]) -> dict[str, str | None]:
    """The GATEWAY_… names that are not known, each with the nearest one that is, if any is near."""
    known = {URL_VARIABLE, TOKEN_VARIABLE, *known}
    ends = sorted(name.removeprefix(_PREFIX) for name in known if name.startswith(_PREFIX))
    unknown = (name for name in sorted(given) if _NAME.fullmatch(name) and name not in known)
    return {name: _nearest(name.removeprefix(_PREFIX), ends) for name in unknown}


def _nearest(end: str, ends: list[str]) -> str | None:
    """Compares what follows the prefix, which would make any two names alike."""
    return next((_PREFIX + near for near in get_close_matches(end.upper(), ends, n=1)), None)
