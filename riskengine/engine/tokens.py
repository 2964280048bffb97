"""The keyed stand-ins of an event's personal values: what is stored in clear and what the core compares."""

from functools import lru_cache
from typing import NamedTuple

from riskengine.device import family
from riskengine.event import Event
from riskengine.seal import Seal

_LOWER = (1 << 32) - 1


class Tokens(NamedTuple):
    """The keyed stand-ins of one event's personal values; 0 or None where the event does not have one."""

    event_key: bytes
    fingerprint: bytes
    user_ref: bytes | None
    user_key: int
    user_key64: int
    login: bytes | None
    device: bytes | None
    session: bytes | None
    device_key: int
    agent_key: int
    agent: str | None
    address: bytes
    address_key64: int
    line_key: int
    prefix_key: int
    prefix_key64: int


class Tokeniser:
    """Makes tokens with one seal; those of an event's address and software are kept, since these repeat."""

    def __init__(self, seal: Seal) -> None:
        self.seal = seal
        self._address = lru_cache(65_536)(self.address)
        self._prefix = lru_cache(16_384)(self._prefix_keys)
        self._agent = lru_cache(4_096)(self._agent_key)

    def user_ref(self, realm: str, user_id: str) -> bytes:
        """Return the opaque name of a user, which is also the blind index of the user id."""
        return self.seal.index(realm, "user", user_id)

    def event_key(self, realm: str, event_id: str) -> bytes:
        """Return the blind index of an event id."""
        return self.seal.near_index(realm, "event", event_id)

    def tokens(self, realm: str, event: Event, text: bytes) -> Tokens:
        """Return the tokens of an event whose canonical text is `text`."""
        seal = self.seal
        agent = family(event.user_agent)
        user = event.user_id
        address = self._address(realm, event.ip)
        return Tokens(
            event_key=self.event_key(realm, event.event_id or ""),
            fingerprint=seal.index(realm, "body", text),
            user_ref=None if user is None else self.user_ref(realm, user),
            user_key=0 if user is None else seal.key32(realm, "user", user),
            user_key64=0 if user is None else seal.key64(realm, "user", user) >> 1,
            login=None if event.login is None else seal.index(realm, "login", event.login),
            device=None if event.device_id is None else seal.index(realm, "device", event.device_id),
            session=None if event.session_id is None else seal.index(realm, "session", event.session_id),
            device_key=0 if event.device_id is None else seal.key32(realm, "device", event.device_id),
            agent_key=0 if agent is None else self._agent(realm, agent),
            agent=agent,
            address=address[0],
            address_key64=address[1],
            line_key=address[2],
            prefix_key=address[3],
            prefix_key64=address[4],
        )

    def address(self, realm: str, ip: str) -> tuple[bytes, int, int, int, int]:
        """Return an address's own tokens, in their order in `Tokens`."""
        index = self.seal.address_index(realm, ip)
        # Of the four tokens the third ends the /24 and the /64, the second the /48.
        line = index[:12].hex() if ":" in ip else ip
        prefix, key = self._prefix(realm, index[:8] if ":" in ip else index[:12])
        return (
            index,
            prefix & ~_LOWER | self.seal.key32(realm, "address", ip),
            self.seal.key32(realm, "line", line),
            key,
            prefix,
        )

    def _agent_key(self, realm: str, agent: str) -> int:
        return self.seal.key32(realm, "agent", agent)

    def _prefix_keys(self, realm: str, network: bytes) -> tuple[int, int]:
        """Return both keys of a /24 or /48 by its tokens.

        63 bits: databases have no unsigned numbers. An address has the upper half of its prefix, so that a database
        finds and writes the counters of both on one page; what is left tells 2^32 addresses of a prefix apart.
        """
        named = network.hex()
        return self.seal.key64(realm, "prefix", named) >> 1, self.seal.key32(realm, "prefix", named)
