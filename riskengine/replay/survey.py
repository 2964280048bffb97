"""Where the addresses of a log are, and by what keys they are counted: what takes a third of reading it."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np

from riskengine.engine.tokens import Tokeniser
from riskengine.locate.locator import Label, Locator
from riskengine.replay.worker import Here, Worker

# Keys of an address, as `engine.tokens.Tokens` has them.
_KEYS = np.dtype([("address_key64", "u8"), ("line_key", "u4"), ("prefix_key", "u4"), ("prefix_key64", "u8")])


class Surveyed(NamedTuple):
    """Addresses in columns: their PLACE rows, which label and which zone (-1: none is named) each has, and rows of
    their keys. `labels` and `zones` are those that were not met before; they count on."""

    places: np.ndarray
    label: np.ndarray
    zone: np.ndarray
    keys: np.ndarray
    labels: list[Label]
    zones: list[str]


class Surveyor(Protocol):
    """Surveys some addresses after others. One who asks sends some, and receives what they are before the next."""

    def send(self, addresses: Sequence[str]) -> None: ...

    def receive(self) -> Surveyed: ...

    def close(self) -> None: ...


class Survey:
    """Surveys addresses of one realm, each of which comes once."""

    def __init__(self, tokeniser: Tokeniser, locator: Locator, realm: str) -> None:
        self._tokeniser, self._locator, self._realm = tokeniser, locator, realm
        self._labels: dict[Label, int] = {}
        self._zones: dict[str, int] = {}

    def of(self, addresses: Sequence[str]) -> Surveyed:
        """Return what is known of these addresses."""
        keys = np.array([self._tokeniser.address(self._realm, ip)[1:] for ip in addresses], _KEYS)
        places = self._locator.locate(addresses)
        labels, zones = len(self._labels), len(self._zones)
        label = [self._labels.setdefault(one, len(self._labels)) for one in places.labels]
        zone = [
            -1 if one.timezone is None else self._zones.setdefault(one.timezone, len(self._zones))
            for one in places.labels
        ]
        return Surveyed(
            places.columns,
            np.array(label, np.int32),
            np.array(zone, np.int32),
            keys,
            list(self._labels)[labels:],
            list(self._zones)[zones:],
        )


def surveyor(survey: Survey, apart: bool) -> Surveyor:
    """Return who surveys, in this process or in one of its own."""
    return Worker("addresses", lambda: survey.of) if apart else Here(survey.of)


def joined(parts: Sequence[Surveyed]) -> Surveyed:
    """Return what was found one after the other, at least once, as one."""
    places, label, zone, keys, labels, zones = zip(*parts, strict=True)
    return Surveyed(
        np.concatenate(places),
        np.concatenate(label),
        np.concatenate(zone),
        np.concatenate(keys),
        list(chain.from_iterable(labels)),
        list(chain.from_iterable(zones)),
    )
