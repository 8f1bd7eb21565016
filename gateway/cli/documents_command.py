"""`gateway documents check`: what the documents of a manifest cost, and if any got dearer."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.cli.options import Commands
from gateway.settings import Settings, SettingsError

if TYPE_CHECKING:
    from gateway.schema.prices import Price
    from gateway.server.trusted_documents import Manifest

__all__ = ["add_command"]

HEADING = f"{'rows':>6} {'at most':>8}  document"


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("documents", help="check and price trusted documents")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        description="Prints how many rows each document of the manifests may read from Twilio, by "
        "estimate: with its variables' defaults, and at most. Exits with 1 if the gateway would "
        "refuse a document, or if one is dearer than its recorded price.",
    )
    check.add_argument("manifest", nargs="+", help="a manifest (docs/documents.md)")
    check.add_argument(
        "--record",
        metavar="FILE",
        type=Path,
        help="the file of recorded prices; it is made, and updated if nothing is wrong",
    )
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace, settings: Settings) -> int:
    from gateway.schema.manifests import ManifestError  # no other command needs the schema for it
    from gateway.server.trusted_documents import Manifest

    try:
        manifest = Manifest(options.manifest)
    except ManifestError as error:
        print(f"{error}")
        return 1
    recorded = _recorded(options.record)
    print(HEADING)
    prices, is_fine = _priced(manifest, settings, recorded)
    if is_fine and options.record:
        _write(options.record, prices)
    return 0 if is_fine else 1


def _write(path: Path, prices: dict[str, Any]) -> None:
    text = msgspec.json.format(msgspec.json.encode(prices, order="sorted"), indent=2)
    try:
        path.write_bytes(text + b"\n")
    except OSError as error:
        raise SettingsError(f"--record: {path} cannot be written: {error.strerror}") from None


def _recorded(path: Path | None) -> dict[str, Any]:
    """The prices of the file; none if there is no file. Raises SettingsError."""
    if path is None or not path.exists():
        return {}
    try:
        prices: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        return {name: (price["rows"], price["varies"]) for name, price in prices.items()}
    except (OSError, msgspec.DecodeError, TypeError, KeyError):
        raise SettingsError(f"--record: {path} is no file of prices") from None


def _priced(
    manifest: "Manifest", settings: Settings, recorded: dict[str, Any]
) -> tuple[dict[str, Any], bool]:
    """Prints a line for each document. The prices by name, and if nothing is wrong."""
    from gateway.schema.prices import DocumentRefused, price_of

    prices: dict[str, Any] = {}
    is_fine = True
    for id_, document in manifest.by_id.items():
        name = document.name if document.name and document.name not in prices else id_
        try:
            price = price_of(document.text, settings.documents)
        except DocumentRefused as error:
            is_fine = False
            print(f"{'-':>6} {'-':>8}  {name}: refused: {error}")
            continue
        prices[name] = asdict(price)
        worst = settings.documents.max_cost if price.varies else price.rows
        dearer = _dearer(price, recorded.get(name))
        is_fine = is_fine and not dearer
        print(f"{price.rows:>6} {worst:>8}  {name}{dearer}")
    return prices, is_fine


def _dearer(price: "Price", recorded: tuple[int, bool] | None) -> str:
    """What to say of a document that got dearer; nothing of any other."""
    if recorded is None:
        return ""
    rows, varies = recorded
    if price.rows > rows:
        return f": dearer, was {rows}"
    return ": dearer, variables can raise it now" if price.varies and not varies else ""
