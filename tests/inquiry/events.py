"""Stored events for searches: really sealed, each by a few words of what it was."""

import json
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Any

import msgspec

from riskengine.check import format_time
from riskengine.compression import compressed
from riskengine.engine.tokens import Tokeniser
from riskengine.seal import Seal
from riskengine.store.contract import EventRow
from riskengine.store.sql import SqlStore

BEGIN_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Login:
    """One event to be stored. Times are ms since 1970."""

    number: int
    user: str | None = "ana"
    ip: str = "192.0.2.10"
    login: str | None = None
    device: str | None = None
    session: str | None = None
    decision: str = "allow"
    level: str = "low"
    score: float = 12.5
    reasons: tuple[str, ...] = ("new_device",)
    country: str | None = "US"
    city: str | None = "New York"
    asn: int | None = 64496
    network: str = "broadband"
    outcome: str = "success"
    resource: str | None = None
    state: str = "open"
    speed: float | None = None
    occurred_at: int = BEGIN_MS
    realm: str = "default"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"e{self.number}"

    def row(self, seal: Seal) -> EventRow:
        """Return it as the engine would store it."""
        tokens, realm, row = Tokeniser(seal), self.realm, self.number + 1
        ref = None if self.user is None else tokens.user_ref(realm, self.user)
        reasons = [[code, self.score / len(self.reasons)] for code in self.reasons]
        raw = {"event_id": self.id, "user_id": self.user, "login": self.login, "ip": self.ip, "outcome": self.outcome,
               "device_id": self.device, "session_id": self.session, "resource": self.resource,
               **self.more}  # fmt: skip
        return EventRow(
            id=row,
            realm=realm,
            event_key=tokens.event_key(realm, self.id),
            fingerprint=bytes(16),
            user_ref=ref,
            user_seq=row,
            occurred_at=self.occurred_at,
            received_at=self.occurred_at + 5,
            outcome=self.outcome,
            action="login",
            resource=self.resource,
            decision=self.decision,
            level=self.level,
            score=round(self.score * 10),
            reasons=msgspec.json.encode(reasons).decode(),
            country=self.country,
            city=self.city,
            asn=self.asn,
            network=self.network,
            source="engine",
            policy="1",
            login_index=None if self.login is None else seal.index(realm, "login", self.login),
            device_index=None if self.device is None else seal.index(realm, "device", self.device),
            session_index=None if self.session is None else seal.index(realm, "session", self.session),
            address_index=seal.address_index(realm, self.ip),
            raw=seal.seal(compressed(json.dumps(raw).encode()), realm, "raw", row),
            assessment=seal.seal(
                compressed(msgspec.msgpack.encode({"answer": self.answer(ref), "item": b""})), realm, "assessment", row
            ),
            state=self.state,
        )

    def answer(self, ref: bytes | None) -> dict[str, Any]:
        place = {"country": self.country, "region": None, "city": self.city, "place": self.city, "latitude": 40.7,
                 "longitude": -74.0, "radius_km": 20.0, "precision": "city"}  # fmt: skip
        end = {"country": "US", "place": "here", "latitude": 40.7, "longitude": -74.0, "radius_km": 20.0}
        travel = {"from": end, "to": end, "distance_km": 10.0, "seconds": 60.0, "min_speed_kmh": self.speed,
                  "impossible": 0.5, "rough": False, "habitual": False}  # fmt: skip
        points = self.score / len(self.reasons) if self.reasons else 0.0
        return {
            "event_id": self.id,
            "occurred_at": format_time(self.occurred_at),
            "user_ref": None if ref is None else ref.hex(),
            "decision": self.decision,
            "score": self.score,
            "level": self.level,
            "reasons": [
                {"code": code, "message": f"It is {code}", "points": points, "evidence": {}} for code in self.reasons
            ],
            "location": None if self.country is None else place,
            "network": {"asn": self.asn, "name": "Example", "kind": self.network, "claimed": None, "evidence": None,
                        "evidence_date": None},
            "travel": None if self.speed is None else travel,
            "signals": {},
            "vouched": [],
            "maturity": "ripe",
            "step_up": None,
            "would_be": None,
            "shadow": None,
            "policy": {"name": "default", "version": "1", "mode": "enforce", "step_up_at": 40.0},
            "data": {"source": "test", "date": "2026-01-01", "attribution": []},
            "source": "engine",
            "degraded": [],
        }  # fmt: skip


def save(store: SqlStore, seal: Seal, logins: list[Login]) -> None:
    rows = [login.row(seal) for login in logins]
    with store.transaction() as tx:
        tx.claim_ids([(row.event_key, row.id, row.fingerprint) for row in rows])
        tx.save(rows, (), {}, (), {})


def crowd(count: int, realm: str = "default", first: int = 0, seed: int = 1) -> list[Login]:
    """Return logins of a few users from everywhere, several in the same millisecond, times not in order of arrival."""
    random = Random(seed)
    found = []
    for number in range(first, first + count):
        decision = random.choice(["allow", "allow", "allow", "step_up", "deny"])
        ip = random.choice(["192.0.2.{}", "198.51.100.{}", "2001:db8:1::{}"]).format(random.randrange(1, 200))
        country, city = random.choice([("US", "New York"), ("JP", "Tokyo"), (None, None)])
        found.append(
            Login(
                number,
                user=random.choice(["ana", "bo", "cy", None]),
                ip=str(ip_address(ip)),
                login=random.choice([None, "Ana", "root"]),
                device=random.choice([None, "d1", "d2"]),
                session=random.choice([None, "s1"]),
                decision=decision,
                level={"allow": "low", "step_up": "medium", "deny": "high"}[decision],
                score=random.choice([0.0, 12.5, 45.0, 99.9]),
                reasons=tuple(
                    random.sample(["new_device", "impossible_travel", "new_country"], random.randrange(1, 3))
                ),
                country=country,
                city=city,
                asn=random.choice([64496, 64497, None]),
                network=random.choice(["broadband", "vpn"]),
                outcome=random.choice(["success", "failure"]),
                resource=random.choice([None, "payroll"]),
                state=random.choice(["open", "confirmed_safe"]),
                speed=random.choice([None, 100.0, 5_000.0]),
                occurred_at=BEGIN_MS + random.randrange(50) * HOUR_MS,
                realm=realm,
            )
        )
    return found
