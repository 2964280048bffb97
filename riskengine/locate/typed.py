"""What each database says of one address: geoip2's typed models where it has them, else the record."""

from collections.abc import Callable
from typing import Any

import geoip2.database
import maxminddb

from riskengine.locate.address import plain
from riskengine.locate.atlas import Atlas, Hint, halves
from riskengine.locate.database import Database
from riskengine.locate.manifest import Manifest
from riskengine.locate.source import licence_of
from riskengine.network import Trait

# By a part of the file's type, as geoip2 tells them apart; the first that fits.
_MODELS: tuple[tuple[str, Callable[[geoip2.database.Reader, str], Any]], ...] = (
    ("Enterprise", lambda reader, address: reader.enterprise(address)),
    ("City", lambda reader, address: reader.city(address)),
    ("GeoLite2-ASN", lambda reader, address: reader.asn(address)),
    ("GeoIP2-ISP", lambda reader, address: reader.isp(address)),
    ("GeoIP2-Anonymous-IP", lambda reader, address: reader.anonymous_ip(address)),
    ("GeoIP-Anonymous-Plus", lambda reader, address: reader.anonymous_plus(address)),
)


def describe(atlas: Atlas, fetched: Manifest | None, value: int, asn: int) -> list[dict[str, Any]]:
    """Return an entry a database: name, file, type, date (ISO), licence, says (None when it is silent).

    `fetched` is the manifest of the city files, None when they are the operator's; `asn` the number found.
    """
    (hint,) = atlas.hints(*halves([value]))
    files = atlas.files
    return [
        *(_file(file, fetched, value) for file in files.city),
        *(_file(file, None, value) for file in files.asn + files.anonymous),
        _entry("IPFire Location", "asn.npz", "built in", atlas.registry.date, "CC BY-SA 4.0", _hint(atlas, hint)),
        *_listing(atlas, asn),
    ]


def _file(file: Database[Any], fetched: Manifest | None, value: int) -> dict[str, Any]:
    """Return the entry of one MaxMind-format file."""
    name, date = (fetched.name, fetched.date) if fetched else (file.type, file.date)
    licence = fetched.licence if fetched else licence_of(file.type)[0]
    return _entry(name, str(file.path), file.type, date, licence, _says(file, value))


def _says(file: Database[Any], value: int) -> Any:
    """Return a record as geoip2 models it, or as it is where geoip2 has no model for the file."""
    record = file.record(*halves([value]))
    if record is None:
        return None
    for word, model in _MODELS:
        if word in file.type:
            try:
                with geoip2.database.Reader(file.path, mode=maxminddb.MODE_MMAP) as reader:
                    return model(reader, plain(value)).to_dict()
            except (TypeError, AttributeError, ValueError):
                return record  # named like MaxMind's, but of another shape
    return record


def _hint(atlas: Atlas, hint: Hint) -> dict[str, Any] | None:
    """Return what the built-in table says, None when it is silent."""
    if not (hint.country or hint.asn or hint.traits):
        return None
    name = atlas.registry.name(hint.asn) if hint.asn else None
    traits = [trait.name.lower() for trait in Trait if trait & hint.traits and trait.name]
    return {"country": hint.country, "asn": hint.asn or None, "as_name": name, "traits": traits}


def _listing(atlas: Atlas, asn: int) -> list[dict[str, Any]]:
    """Return the entry of the list of known networks, if it has the number."""
    row = atlas.listing.get(asn)
    if row is None:
        return []
    says = {
        "kind": row.kind.name.lower(),
        "confidence": row.confidence,
        "name": row.name,
        "evidence": row.evidence,
    }
    return [_entry("Known networks", "networks.csv", "built in", row.date, "see data/README.md", says)]


def _entry(
    name: str,
    file: str,
    kind: str,
    date: str | None,
    licence: str,
    says: Any,
) -> dict[str, Any]:
    return {"name": name, "file": file, "type": kind, "date": date, "licence": licence, "says": says}
