"""A decision as a document of the Elastic Common Schema, category authentication.

`event.outcome` is what the password was worth; what riskengine answered lies in `riskengine`, by our own names, beside
the risk fields that ECS has. docs/outputs.md has the whole mapping.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from riskengine.writers.columns import message
from riskengine.writers.siem import known, ours

SCHEMA = "8.17.0"
_SEVERITY = {"low": 21, "medium": 47, "high": 73}  # as Elastic's own rules number them
_OBSERVER = {"product": "riskengine", "vendor": "riskengine", "version": version("riskengine")}


def ecs_document(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of one answer and its event as it was sent."""
    return known(
        {
            "@timestamp": answer["occurred_at"],
            "ecs": {"version": SCHEMA},
            "message": message(answer),
            "event": _event(answer, event),
            "user": _user(answer, event),
            "source": _source(answer, event),
            "user_agent": known({"original": event.get("user_agent")}),
            "device": known({"id": event.get("device_id")}),
            "service": known({"name": event.get("resource")}),
            "related": _related(event),
            "rule": known({"ruleset": answer["policy"]["name"], "version": answer["policy"]["version"]}),
            "observer": _OBSERVER,
            "riskengine": known({**ours(answer), "groups": event.get("groups"), "session_id": event.get("session_id")}),
        }
    )


def _event(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    action = event.get("action", "login")
    return known(
        {
            "kind": "event",
            "category": ["authentication"],
            "type": ["start"] if action == "login" else ["info"],
            "action": action,
            "outcome": event.get("outcome", "success"),
            "id": answer["event_id"],
            "reason": message(answer),
            "risk_score": answer["score"],
            "risk_score_norm": answer["score"],
            "severity": _SEVERITY[answer["level"]],
            "ingested": event.get("received_at"),
            "module": "riskengine",
            "dataset": "riskengine.decision",
        }
    )


def _user(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    risk = {
        "calculated_level": answer["level"].capitalize(),
        "calculated_score": answer["score"],
        "calculated_score_norm": answer["score"],
    }
    named = {"id": event.get("user_id"), "name": event.get("login"), "hash": answer["user_ref"]}
    return known({**named, "risk": risk})


def _source(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    place, network = answer["location"] or {}, answer["network"]
    geo = {
        "city_name": place.get("city"),
        "region_name": place.get("region"),
        "country_iso_code": place.get("country"),
        "location": {"lat": place["latitude"], "lon": place["longitude"]} if place else None,
    }
    system = {"number": network["asn"], "organization": known({"name": network["name"]})}
    ip = event.get("ip")
    return known({"ip": ip, "address": ip, "geo": known(geo), "as": known(system)})


def _related(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return every address and user that the event names, each once."""
    users = [event[name] for name in ("user_id", "login") if event.get(name) is not None]
    ips = [event["ip"]] if event.get("ip") else []
    return known({"ip": ips, "user": list(dict.fromkeys(users))})
