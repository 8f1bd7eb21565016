"""Serializes documents as XML, JSON or CSV, the formats of the service
(docs/twilio.md#6-xml-and-csv).

The suffix of the path selects the format: none or ``.xml`` is XML, ``.json`` JSON, ``.csv`` CSV.
Knows no resource: names and values come from rendering.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import msgspec

Properties = Mapping[str, object]

_NESTED = frozenset({"subresource_uris", "encryption_details"})
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Instance:
    """One resource, or an error."""

    element: str
    properties: Properties
    rows: int = 1


@dataclass(frozen=True)
class Listing:
    """One page of a list."""

    name: str
    element: str
    items: Sequence[Properties]
    envelope: Properties
    columns: Sequence[str]

    @property
    def rows(self) -> int:
        """The number of resources on the page."""
        return len(self.items)


Document = Instance | Listing


@dataclass(frozen=True)
class Format:
    """A media type, its serializer, and the suffix of the URIs inside a document."""

    media_type: str
    suffix: str
    write: Callable[[Document], bytes]


def _json(document: Document) -> bytes:
    """The rows under their name, beside the envelope; any further key breaks clients."""
    if isinstance(document, Instance):
        return msgspec.json.encode(document.properties)
    return msgspec.json.encode({document.name: document.items, **document.envelope})


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _element(tag: str, value: object) -> str:
    if isinstance(value, Mapping):
        return f"<{tag}>{''.join(_element(_pascal(name), value[name]) for name in value)}</{tag}>"
    if value is None or value == "":
        return f"<{tag}/>"
    return f"<{tag}>{_escaped(value)}</{tag}>"


def _escaped(value: object) -> str:
    return _NOT_XML.sub("", escape(str(value)))


def _attributes(envelope: Properties) -> str:
    """Envelope names without underscores; a missing link is an empty attribute."""
    return "".join(
        f' {name.replace("_", "")}="{"" if value is None else _escaped(value)}"'
        for name, value in envelope.items()
    )


def _xml(document: Document) -> bytes:
    if isinstance(document, Instance):
        content = _element(document.element, document.properties)
    else:
        tag = document.name.capitalize()
        items = "".join(_element(document.element, item) for item in document.items)
        content = f"<{tag}{_attributes(document.envelope)}>{items}</{tag}>"
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{declaration}\n<TwilioResponse>{content}</TwilioResponse>".encode()


def _csv(document: Document) -> bytes:
    """A header of element names, then one line per resource; nested properties have no column."""
    if isinstance(document, Instance):
        items, names = [document.properties], list(document.properties)
    else:
        items, names = list(document.items), list(document.columns)
    columns = [name for name in names if name not in _NESTED]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(map(_pascal, columns))
    writer.writerows([item[name] for name in columns] for item in items)
    return text.getvalue().encode()


XML = Format("application/xml", "", _xml)
JSON = Format("application/json", ".json", _json)
CSV = Format("text/csv", ".csv", _csv)

BY_SUFFIX = {"": XML, ".xml": XML, ".json": JSON, ".csv": CSV}
_SUFFIX = re.compile(r"\.(?:json|xml|csv)$")


def split_suffix(path: str) -> tuple[str, Format]:
    """A path without its suffix, and the format of the suffix."""
    match = _SUFFIX.search(path)
    suffix = match[0] if match else ""
    return path.removesuffix(suffix), BY_SUFFIX[suffix]
