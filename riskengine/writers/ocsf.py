"""A decision as an OCSF event of class 3002, Authentication, with the profile that holds what a control decided.

`status` is what the password was worth, `action` and `disposition` what riskengine answered: a right password may be
denied. What OCSF has no member for lies in `unmapped`, by our own names. docs/outputs.md has the whole mapping.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from riskengine.check import parse_time
from riskengine.writers.columns import message
from riskengine.writers.siem import known, ours

SCHEMA = "1.5.0"
CLASS, CATEGORY = 3002, 3
LOGON, OTHER = 1, 99
_STATUS = {"success": (1, "Success"), "failure": (2, "Failure"), "unknown": (0, "Unknown")}
_SEVERITY = {"low": (1, "Informational"), "medium": (3, "Medium"), "high": (4, "High")}
_RISK = {"low": (1, "Low"), "medium": (2, "Medium"), "high": (3, "High")}
# OCSF knows allowed and denied only. A second factor that is asked for is neither, so the action is unknown as yet.
_ACTION = {
    "allow": (1, "Allowed", 1, "Allowed"),
    "step_up": (0, "Unknown", OTHER, "Step-up required"),
    "deny": (2, "Denied", 2, "Blocked"),
}
_PRODUCT = {"name": "riskengine", "vendor_name": "riskengine", "version": version("riskengine")}
# The class demands a service that is entered, and a user by some name.
UNNAMED_SERVICE, UNNAMED_USER = "login", "unknown"


def ocsf_document(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of one answer and its event as it was sent."""
    action = event.get("action", "login")
    activity = LOGON if action == "login" else OTHER
    status, status_name = _STATUS[event.get("outcome", "success")]
    severity, severity_name = _SEVERITY["high" if answer["decision"] == "deny" else answer["level"]]
    return known(
        {
            "class_uid": CLASS,
            "class_name": "Authentication",
            "category_uid": CATEGORY,
            "category_name": "Identity & Access Management",
            "activity_id": activity,
            "activity_name": "Logon" if activity == LOGON else action,
            "type_uid": CLASS * 100 + activity,
            "time": parse_time(answer["occurred_at"]),
            "status_id": status,
            "status": status_name,
            "severity_id": severity,
            "severity": severity_name,
            "message": message(answer),
            "user": _user(answer, event),
            "src_endpoint": _source(answer, event),
            "service": {"name": event.get("resource") or UNNAMED_SERVICE},
            "device": {"type_id": 0, "uid": event["device_id"]} if event.get("device_id") else None,
            "session": known({"uid": event.get("session_id")}),
            "http_request": known({"user_agent": event.get("user_agent")}),
            "is_mfa": event.get("mfa") is not None,
            **_control(answer),
            "metadata": _metadata(answer, event),
            "unmapped": {"riskengine": ours(answer)},
        }
    )


def _user(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    groups = [{"name": name} for name in event.get("groups") or ()]
    name, uid = event.get("login"), event.get("user_id")
    unnamed = UNNAMED_USER if name is None and uid is None else None
    return known({"name": name or unnamed, "uid": uid, "uid_alt": answer["user_ref"], "groups": groups})


def _source(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    place, network = answer["location"] or {}, answer["network"]
    location = {
        "city": place.get("city"),
        "region": place.get("region"),
        "country": place.get("country"),
        "lat": place.get("latitude"),
        "long": place.get("longitude"),
    }
    system = known({"number": network["asn"], "name": network["name"]})
    return known({"ip": event.get("ip"), "location": known(location), "autonomous_system": system})


def _control(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the profile `security_control` holds."""
    action, action_name, disposition, disposition_name = _ACTION[answer["decision"]]
    risk, risk_name = _RISK[answer["level"]]
    return {
        "action_id": action,
        "action": action_name,
        "disposition_id": disposition,
        "disposition": disposition_name,
        "is_alert": answer["decision"] != "allow",
        "risk_level_id": risk,
        "risk_level": risk_name,
        "risk_score": int(answer["score"] + 0.5),
        "policy": {"name": answer["policy"]["name"], "version": answer["policy"]["version"]},
    }


def _metadata(answer: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    received = event.get("received_at")
    profiles = ["security_control", *(["host"] if event.get("device_id") else [])]
    return known(
        {
            "version": SCHEMA,
            "product": _PRODUCT,
            "profiles": profiles,
            "uid": answer["event_id"],
            "logged_time": parse_time(received) if received else None,
        }
    )
