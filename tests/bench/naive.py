"""What somebody would write in an afternoon: geoip2's models, an ORM session, and a commit for each request.

It knows a user's last place and devices, and nothing else: no keys, no sealing, no retries, no policy.
"""

import os
import sys
from collections.abc import Iterable
from itertools import islice
from math import asin, cos, radians, sin, sqrt
from typing import Any

import geoip2.database
from fastapi import FastAPI
from sqlalchemy import BigInteger, Engine, Index, create_engine, event, exists, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from riskengine.api.schema import Answer, EventBody
from riskengine.live import now_ms
from tests.bench.uvicorn_server import serve

FASTEST_KMH, STEP_UP = 900.0, 40.0


class Base(DeclarativeBase):
    """All tables."""


class Login(Base):
    """One login, with where it came from and what was decided."""

    __tablename__ = "logins"
    __table_args__ = (Index("ix_logins_user", "user_id", "at"),)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    at: Mapped[int] = mapped_column(BigInteger)
    ip: Mapped[str]
    outcome: Mapped[str]
    device_id: Mapped[str | None]
    user_agent: Mapped[str | None]
    country: Mapped[str | None]
    city: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    asn: Mapped[int | None]
    score: Mapped[float]
    decision: Mapped[str]


class Device(Base):
    """A device that a user was seen with."""

    __tablename__ = "devices"
    user_id: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(primary_key=True)


def connect(url: str) -> Engine:
    """Return the database; SQLite keeps what it answered, as riskengine's does, and waits rather than fail."""
    if not url.startswith("sqlite"):
        return create_engine(url)
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def durable(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


class Locations:
    """Where addresses are, by geoip2's models."""

    def __init__(self, city: str, asn: str) -> None:
        self._city, self._asn = geoip2.database.Reader(city), geoip2.database.Reader(asn)

    def of(self, ip: str) -> dict[str, Any]:
        """Return the columns of a login that tell its place."""
        place, network = self._city.city(ip), self._asn.asn(ip)
        return {
            "country": place.country.iso_code,
            "city": place.city.name,
            "latitude": place.location.latitude,
            "longitude": place.location.longitude,
            "asn": network.autonomous_system_number,
        }


def seed(url: str, locations: Locations, logins: Iterable[dict[str, Any]]) -> None:
    """Make the tables and fill them with a login of each user (bodies of POST /score), unless that was done before."""
    engine, waiting = connect(url), iter(logins)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        known = connection.scalar(select(exists(select(Login))))
        while not known and (some := list(islice(waiting, 5_000))):
            rows = [_seeded(one, locations) for one in some]
            connection.execute(insert(Login), rows)
            connection.execute(insert(Device), [{"user_id": r["user_id"], "device_id": r["device_id"]} for r in rows])
    engine.dispose()


def _seeded(body: dict[str, Any], locations: Locations) -> dict[str, Any]:
    kept = {name: body[name] for name in ("event_id", "user_id", "ip", "device_id", "user_agent")}
    decided = {"at": now_ms() - 86_400_000, "outcome": "success", "score": 0.0, "decision": "allow"}
    return {**kept, **decided, **locations.of(body["ip"])}


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance."""
    a, b, half = radians(latitude), radians(other_latitude), radians(other_longitude - longitude) / 2
    return 12_742 * asin(sqrt(sin((b - a) / 2) ** 2 + cos(a) * cos(b) * sin(half) ** 2))


def application(engine: Engine, locations: Locations) -> FastAPI:
    """Return the application."""
    app = FastAPI()

    @app.post("/score")
    def score(body: EventBody) -> Answer:
        now, user, place = now_ms(), body.user_id or "", locations.of(body.ip)
        with Session(engine) as session:
            last = session.scalars(
                select(Login).where(Login.user_id == user).order_by(Login.at.desc()).limit(1)
            ).first()
            points = {"impossible_travel": 0.0, "new_device": 0.0}
            if last is not None and None not in (last.latitude, place["latitude"]):
                hours = max(now - last.at, 1) / 3_600_000
                km = distance_km(last.latitude, last.longitude, place["latitude"], place["longitude"])  # type: ignore[arg-type]
                points["impossible_travel"] = 60.0 if km > 50 and km / hours > FASTEST_KMH else 0.0
            if body.device_id and session.get(Device, (user, body.device_id)) is None:
                points["new_device"] = 41.0
                session.add(Device(user_id=user, device_id=body.device_id))
            total = min(sum(points.values()), 100.0)
            decision = "step_up" if total >= STEP_UP else "allow"
            session.add(
                Login(
                    event_id=body.event_id or "", user_id=user, at=now, ip=body.ip, outcome=body.outcome or "success",
                    device_id=body.device_id, user_agent=body.user_agent, score=total, decision=decision, **place,
                )
            )  # fmt: skip
            session.commit()
        return _answer(body, place, points, total, decision)

    return app


def _answer(body: EventBody, place: dict[str, Any], points: dict[str, float], total: float, decision: str) -> Answer:
    location = {name: place[name] for name in ("country", "city", "latitude", "longitude")}
    return Answer.model_validate(
        {
            "event_id": body.event_id,
            "user_ref": body.user_id,
            "decision": decision,
            "score": total,
            "level": "medium" if decision == "step_up" else "low",
            "reasons": [{"code": code, "points": value} for code, value in points.items() if value],
            "maturity": "ripe",
            "step_up": {"acr_values": "urn:riskengine:acr:mfa", "max_age": 900} if decision == "step_up" else None,
            "would_be": None,
            "source": "engine",
            "degraded": [],
            "location": {**location, "region": None, "place": place["city"], "radius_km": 50.0, "precision": "city"},
            "signals": {code: min(value, 1.0) for code, value in points.items()},
        }
    )


if __name__ == "__main__":
    serve(
        application(connect(os.environ["NAIVE_URL"]), Locations(os.environ["NAIVE_CITY"], os.environ["NAIVE_ASN"])),
        int(sys.argv[1]),
    )
