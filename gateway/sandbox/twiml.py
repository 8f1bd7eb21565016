"""Parses simple TwiML into the steps of a call. Pure: fetches nothing and plays nothing.

A verb that makes no leg, recording or request only takes time. Attributes that affect none of
these are ignored, unknown verbs are skipped.
"""

import re
from collections.abc import Callable, Mapping
from typing import Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import msgspec

WORDS_PER_SECOND = 2.5
PLAY_SECONDS = 5
SPOKEN_MESSAGE = 10
"""Seconds that a caller speaks into a Record, at most its maxLength."""


class BadTwiml(Exception):
    """The text is not a TwiML document."""


class Wait(msgspec.Struct, frozen=True, tag=True):
    """Takes time: Say, Play, Pause, Gather."""

    seconds: float


class Record(msgspec.Struct, frozen=True, tag=True):
    """Records the caller."""

    seconds: float
    callback: str | None = None


class Target(msgspec.Struct, frozen=True):
    """One party of a Dial, with its own status callback."""

    to: str
    status_callback: str | None = None
    status_callback_method: str = "POST"
    status_callback_events: tuple[str, ...] = ("completed",)


class Dial(msgspec.Struct, frozen=True, tag=True):
    """Dials all targets at once; the first to answer is connected."""

    targets: tuple[Target, ...]
    timeout: int = 30
    time_limit: int | None = None
    caller_id: str | None = None
    record: bool = False
    channels: int = 1
    callback: str | None = None


class Redirect(msgspec.Struct, frozen=True, tag=True):
    """Continues with the TwiML of another URL."""

    url: str
    method: Literal["GET", "POST"] = "POST"


class Hangup(msgspec.Struct, frozen=True, tag=True):
    """Ends the call."""


Step = Wait | Record | Dial | Redirect | Hangup


def steps(text: str) -> tuple[Step, ...]:
    """The steps of a document in order; raises BadTwiml."""
    if "<!DOCTYPE" in text:
        raise BadTwiml("a document type declaration")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a DTD there is no bomb
    except ElementTree.ParseError as error:
        raise BadTwiml(str(error)) from None
    if root.tag != "Response":
        raise BadTwiml(f"the root element is {root.tag}, not Response")
    return tuple(_VERBS[verb.tag](verb) for verb in root if verb.tag in _VERBS)


def _number(verb: Element, name: str, default: int) -> int:
    value = verb.get(name, "")
    return int(value) if re.fullmatch("[0-9]{1,6}", value) else default


def _text(verb: Element) -> str:
    return "".join(verb.itertext()).strip()


def _say(verb: Element) -> Step:
    return Wait(max(1.0, len(_text(verb).split()) / WORDS_PER_SECOND) * _number(verb, "loop", 1))


def _play(verb: Element) -> Step:
    return Wait(PLAY_SECONDS * _number(verb, "loop", 1))


def _pause(verb: Element) -> Step:
    return Wait(_number(verb, "length", 1))


def _gather(verb: Element) -> Step:
    """Plays the nested verbs, then times out: nobody presses a key."""
    nested_steps = [_VERBS[nested.tag](nested) for nested in verb if nested.tag in ("Say", "Play")]
    spoken = sum(step.seconds for step in nested_steps if isinstance(step, Wait))
    return Wait(spoken + _number(verb, "timeout", 5))


def _record(verb: Element) -> Step:
    length = min(_number(verb, "maxLength", 3600), SPOKEN_MESSAGE)
    return Record(length, verb.get("recordingStatusCallback"))


def _dial(verb: Element) -> Step:
    targets = [_target(noun) for noun in verb if noun.tag in _PREFIXES]
    if (verb.text or "").strip():
        targets.insert(0, Target((verb.text or "").strip()))
    recorded = verb.get("record", "do-not-record")
    return Dial(
        tuple(targets),
        _number(verb, "timeout", 30),
        _number(verb, "timeLimit", 0) or None,
        verb.get("callerId"),
        record=recorded not in ("do-not-record", "false"),
        channels=2 if recorded.endswith("-dual") else 1,
        callback=verb.get("recordingStatusCallback"),
    )


_PREFIXES = {"Number": "", "Client": "client:", "Sip": ""}


def _target(noun: Element) -> Target:
    address = (noun.text or noun.findtext("Identity") or "").strip()
    return Target(
        _PREFIXES[noun.tag] + address.removeprefix("client:" if noun.tag == "Client" else ""),
        noun.get("statusCallback"),
        noun.get("statusCallbackMethod", "POST"),
        tuple(noun.get("statusCallbackEvent", "completed").split()),
    )


def _redirect(verb: Element) -> Step:
    return Redirect(_text(verb), "GET" if verb.get("method") == "GET" else "POST")


_VERBS: Mapping[str, Callable[[Element], Step]] = {
    "Say": _say,
    "Play": _play,
    "Pause": _pause,
    "Gather": _gather,
    "Record": _record,
    "Dial": _dial,
    "Redirect": _redirect,
    "Hangup": lambda _: Hangup(),
    "Reject": lambda _: Hangup(),
}
