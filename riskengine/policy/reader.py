"""Typed reading of one TOML text: values of the right kind within their bounds, or a refusal with its line."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from ipaddress import ip_network
from typing import Any, get_type_hints

from riskengine.batch import country_code
from riskengine.errors import PolicyError
from riskengine.policy.source import Network

# Bounds of numbers by what their name ends in or is; first match wins.
_SHARES = frozenset(
    {
        *(
            "certain",
            "sure",
            "wide_share",
            "habitual_share",
            "implied_share",
            "operator_share",
            "usual_share",
            "failure_share",
        ),
        *("bad_failure_share", "absent", "chance", "risk", "gross_error"),
    }
)
_POSITIVE = frozenset(
    {
        *("half", "window_minutes", "speed_kmh", "ground_kmh", "radius_km", "floor_km", "chance", "full_bits"),
        *("full_km", "logins", "hours", "step_ups", "idle_days", "cool_down_minutes"),
    }
)
_MOST = {"window_minutes": 1440, "step_ups": 8}  # a history remembers 8 step-ups that wait
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-\"'. ]+?)\s*=")


class Reader:
    """Reads one TOML text that is called `name`. A `path` is dotted; tables of an array are numbered from 1."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    def wrong(self, path: str, what: str) -> PolicyError:
        """Return the refusal of what stands at a path."""
        line = self._line(path)
        where = f"{self.name}, line {line}" if line else self.name
        return PolicyError(f"{where}: {path} {what}")

    def _line(self, path: str) -> int | None:
        """Return the line that sets `path`, or the nearest thing around it that the text spells out."""
        found, nearest = None, ""
        for number, place in self._places():
            if len(place) > len(nearest) and (path == place or path.startswith(f"{place}.")):
                found, nearest = number, place
        return found

    def _places(self) -> Iterator[tuple[int, str]]:
        """Yield (line, path) of every header and key."""
        table, counts = "", dict[str, int]()
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := _HEADER.match(line):
                table = header.group(2).replace('"', "").strip()
                if header.group(1) == "[[":
                    counts[table] = counts.get(table, 0) + 1
                array, _, rest = table.partition(".")
                table = f"{array}.{counts[array]}{'.' if rest else ''}{rest}" if array in counts else table
                yield number, table
            elif key := _KEY.match(line):
                name = key.group(1).replace('"', "").replace("'", "").strip()
                yield number, f"{table}.{name}" if table else name

    def table(self, body: Any, path: str, kind: type, skip: Collection[str] = ()) -> Any:
        """Return `body` as a `kind`: every field there but those with a default, no other, each of its type and within
        its bounds. Keys in `skip` are somebody else's."""
        hints = get_type_hints(kind)
        known = self.only(body, path, hints, skip)
        values = {}
        for field in fields(kind):
            where = f"{path}.{field.name}"
            if field.name in known:
                values[field.name] = self.value(known[field.name], where, hints[field.name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise self.wrong(where, "is missing")
        return kind(**values)

    def only(self, body: Any, path: str, known: Collection[str], skip: Collection[str] = ()) -> dict[str, Any]:
        """Return a table without `skip`, if every other key is one of those known."""
        if not isinstance(body, dict):
            raise self.wrong(path, "must be a table")
        for key in body:
            if key not in known and key not in skip:
                where = f"{path}.{key}" if path else key
                raise self.wrong(where, f"is not known here; known are {', '.join(known)}")
        return {key: value for key, value in body.items() if key not in skip}

    def value(self, value: Any, path: str, hint: Any) -> Any:
        """Return a value of the type that a field is annotated with."""
        if hint in (float, int, float | None):
            return self.number(value, path, int if hint is int else float)
        if hint is str:
            return self.text_of(value, path)
        if hint == Mapping[str, tuple[float, float]]:
            return self.points(value, path)
        if hint == Mapping[str, float]:
            named = self.only(value, path, tuple(value) if isinstance(value, dict) else ())
            return {key: self.number(one, f"{path}.{key}", float) for key, one in named.items()}
        entry = int if hint == tuple[int, ...] else str
        if not isinstance(value, list) or not all(type(one) is entry for one in value):
            raise self.wrong(path, f"must be a list of {'numbers' if entry is int else 'texts'}")
        return tuple(value)

    def text_of(self, value: Any, path: str) -> str:
        """Return a text that is not empty."""
        if not isinstance(value, str) or not value:
            raise self.wrong(path, "must be a text")
        return value

    def points(self, body: Any, path: str) -> dict[str, tuple[float, float]]:
        """Return a table of points, each [latitude, longitude] in degrees."""
        if not isinstance(body, dict):
            raise self.wrong(path, "must be a table")
        for name, point in body.items():
            two = isinstance(point, list) and len(point) == 2
            if not two or not all(type(value) in (int, float) for value in point):
                raise self.wrong(f"{path}.{name}", "must be [latitude, longitude]")
            if not (abs(point[0]) <= 90 and abs(point[1]) <= 180):
                raise self.wrong(f"{path}.{name}", "must be a latitude up to 90 and a longitude up to 180 degrees")
        return {name: (float(point[0]), float(point[1])) for name, point in body.items()}

    def number(self, value: Any, path: str, hint: type) -> float:
        """Return a number within the bounds that its path has."""
        name = path.rsplit(".", 1)[-1]
        if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
            raise self.wrong(path, "must be a whole number" if hint is int else "must be a number")
        most = 1.0 if name in _SHARES or ".signals." in path else _MOST.get(name, 1e6)
        if path.startswith(("weights.", "thresholds.", "groups.")) or name.startswith("score"):
            most = 100.0
        if path.startswith("chance."):
            most = 1.0
        positive = name in _POSITIVE or path.startswith(("chance.", "novelty.")) or name == "ignored_days"
        if not 0 <= value <= most or (positive and value == 0):
            least = "more than 0" if positive else "0"
            raise self.wrong(path, f"must lie between {least} and {most:g}")
        return hint(value)

    def choice(self, value: Any, path: str, values: Sequence[str]) -> str:
        """Return a text that is one of `values`."""
        if value not in values:
            raise self.wrong(path, f"must be one of {', '.join(values)}")
        return str(value)

    def choices(self, body: Any, path: str, keys: Collection[str] | None, values: Sequence[str]) -> dict[str, str]:
        """Return a table of texts, each one of `values`, under keys that are any, or one of `keys`."""
        known = keys if keys is not None else tuple(body) if isinstance(body, dict) else ()
        found = self.only(body, path, known)
        return {key: self.choice(value, f"{path}.{key}", values) for key, value in found.items()}

    def listed(self, values: Sequence[str], path: str, known: Sequence[str]) -> list[int]:
        """Return the places in `known` of the texts of a list."""
        for value in values:
            if value not in known:
                raise self.wrong(path, f"holds {value!r}; known are {', '.join(known)}")
        return [known.index(value) for value in values]

    def cidrs(self, values: Sequence[str], path: str) -> list[Network]:
        """Return the networks of a list of CIDRs."""
        found = []
        for cidr in values:
            try:
                found.append(ip_network(cidr))
            except ValueError as error:
                raise self.wrong(path, f"holds {cidr!r}, which is not a CIDR ({error})") from error
        return found

    def countries(self, values: Sequence[str], path: str) -> list[int]:
        """Return the codes of a list of countries."""
        for letters in values:
            if not (country_code(letters) and letters.isalpha()):
                raise self.wrong(path, f"holds {letters!r}, which is not a two-letter country code")
        return [country_code(letters) for letters in values]
