"""What repeats in a log, once each: users, addresses and where they are, software, names."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskengine.batch import Names
from riskengine.device import family
from riskengine.engine.tokens import Tokeniser
from riskengine.locate.locator import Label
from riskengine.replay.survey import Surveyed, Surveyor, joined
from riskengine.seal import INDEX_BYTES


@dataclass(frozen=True, slots=True)
class Tables:
    """A register that is complete, as columns by number.

    `user_refs` are in hex, as bytes. `places` are PLACE rows of the addresses; `label` and `zone` (-1: none is named)
    say which of `labels` and `zones` is an address's. Keys are those of `engine.tokens.Tokens`; of a login the first 8
    and the first 4 bytes.
    """

    user_refs: np.ndarray
    user_key: np.ndarray
    user_key64: np.ndarray
    places: np.ndarray
    label: np.ndarray
    labels: Sequence[Label]
    zone: np.ndarray
    zones: Sequence[str]
    address_key64: np.ndarray
    line_key: np.ndarray
    prefix_key: np.ndarray
    prefix_key64: np.ndarray
    agents: Sequence[str]
    agent_key: np.ndarray
    login: np.ndarray
    login_key: np.ndarray
    resources: Sequence[str]
    groups: Sequence[tuple[str, ...]]
    edges: Sequence[str]


class Register:
    """Numbers what repeats, all of it words of one realm. Each address is surveyed once, with others (`survey`)."""

    def __init__(self, tokeniser: Tokeniser, surveyor: Surveyor, realm: str) -> None:
        self._tokeniser, self._seal, self._surveyor, self._realm = tokeniser, tokeniser.seal, surveyor, realm
        self.users: dict[str, int] = {}
        self.addresses: dict[str, int] = {}
        self.logins: dict[str, int] = {}
        self.agents: dict[str, int] = {}
        self.names = Names()
        self._user_refs = bytearray()  # in hex, end to end
        self._user_key, self._user_key64 = array("I"), array("Q")
        self._login, self._login_key = array("Q"), array("I")
        self._agent_key = array("I")
        self._waiting: list[str] = []
        self._surveyed: list[Surveyed] = []
        self._sent = False

    def user(self, user_id: str) -> int:
        """Return the number of a user."""
        number = self.users.get(user_id)
        if number is None:
            self.users[user_id] = number = len(self.users)
            self._user_refs += self._tokeniser.user_ref(self._realm, user_id).hex().encode()
            self._user_key.append(self._seal.key32(self._realm, "user", user_id))
            self._user_key64.append(self._seal.key64(self._realm, "user", user_id) >> 1)
        return number

    def address(self, ip: str) -> int:
        """Return the number of an address."""
        number = self.addresses.get(ip)
        if number is None:
            self.addresses[ip] = number = len(self.addresses)
            self._waiting.append(ip)
        return number

    def login(self, name: str) -> int:
        """Return the number of a name that was typed."""
        number = self.logins.get(name)
        if number is None:
            self.logins[name] = number = len(self._login)
            index = self._seal.index(self._realm, "login", name)
            self._login.append(int.from_bytes(index[:8]))
            self._login_key.append(int.from_bytes(index[:4]))
        return number

    def agent(self, user_agent: str) -> tuple[int, int]:
        """Return the number of the family of a user agent, and a digest of its text."""
        name = family(user_agent) or "other"
        number = self.agents.get(name)
        if number is None:
            self.agents[name] = number = len(self._agent_key)
            self._agent_key.append(self._seal.key32(self._realm, "agent", name))
        return number, hash(user_agent)

    def device(self, device_id: str) -> tuple[int, int]:
        """Return the key of a device id, and a digest of its text."""
        return self._seal.key32(self._realm, "device", device_id), hash(device_id)

    def resource(self, name: str) -> int:
        """Return the number of what was entered."""
        return self.names.resources.setdefault(name, len(self.names.resources))

    def survey(self) -> None:
        """Have the addresses surveyed that came since the last time; what is found of them is fetched the next time."""
        self._fetch()
        self._surveyor.send(self._waiting)
        self._waiting, self._sent = [], True

    def _fetch(self) -> None:
        if self._sent:
            self._surveyed.append(self._surveyor.receive())
            self._sent = False

    def tables(self) -> Tables:
        """Return all that was numbered; every address is surveyed."""
        self.survey()
        self._fetch()
        found = joined(self._surveyed)
        address_key64, line_key, prefix_key, prefix_key64 = (
            np.ascontiguousarray(found.keys[name]) for name in found.keys.dtype.names or ()
        )
        return Tables(
            np.frombuffer(self._user_refs, f"S{2 * INDEX_BYTES}"),
            np.array(self._user_key),
            np.array(self._user_key64),
            found.places,
            found.label,
            found.labels,
            found.zone,
            found.zones,
            address_key64,
            line_key,
            prefix_key,
            prefix_key64,
            list(self.agents),
            np.array(self._agent_key),
            np.array(self._login),
            np.array(self._login_key),
            list(self.names.resources),
            list(self.names.groups),
            list(self.names.edges),
        )
