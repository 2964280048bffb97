"""What the two standards demand of a login's document, as far as we write it: small schemas, and a check against one.

A member is a type, the values it may have, a schema of its own, or a list of one of these; one that ends in `!` must be
there, and nothing may be there that is not named.
"""

from collections.abc import Mapping
from typing import Any

NUMBER = (int, float)
ANYTHING = object

OCSF: Mapping[str, Any] = {
    "class_uid!": {3002},
    "class_name": {"Authentication"},
    "category_uid!": {3},
    "category_name": {"Identity & Access Management"},
    "activity_id!": {1, 2, 3, 4, 5, 6, 7, 99},
    "activity_name": str,
    "type_uid!": {300201, 300299},
    "time!": int,
    "severity_id!": {0, 1, 2, 3, 4, 5, 6, 99},
    "severity": {"Informational", "Low", "Medium", "High", "Critical"},
    "status_id": {0, 1, 2, 99},
    "status": {"Unknown", "Success", "Failure"},
    "message": str,
    "user!": {"name": str, "uid": str, "uid_alt": str, "groups": [{"name!": str}]},
    "src_endpoint": {
        "ip": str,
        "location": {"city": str, "region": str, "country": str, "lat": float, "long": float},
        "autonomous_system": {"number": int, "name": str},
    },
    "service!": {"name!": str},
    "device": {"type_id!": {0, 1, 2, 3, 4, 5, 6, 7, 99}, "uid": str},
    "session": {"uid!": str},
    "http_request": {"user_agent!": str},
    "is_mfa": bool,
    "action_id": {0, 1, 2},
    "action": {"Unknown", "Allowed", "Denied"},
    "disposition_id": {1, 2, 99},
    "disposition": str,
    "is_alert": bool,
    "risk_level_id": {0, 1, 2, 3, 4},
    "risk_level": {"Info", "Low", "Medium", "High", "Critical"},
    "risk_score": int,
    "policy": {"name!": str, "version!": str},
    "metadata!": {
        "version!": {"1.5.0"},
        "product!": {"name!": {"riskengine"}, "vendor_name!": str, "version!": str},
        "profiles": [{"security_control", "host"}],
        "uid": str,
        "logged_time": int,
    },
    "unmapped": {"riskengine!": ANYTHING},
}

ECS: Mapping[str, Any] = {
    "@timestamp!": str,
    "ecs!": {"version!": str},
    "message": str,
    "event!": {
        "kind!": {"event"},
        "category!": [{"authentication"}],
        "type!": [{"start", "end", "info"}],
        "action!": str,
        "outcome!": {"success", "failure", "unknown"},
        "id": str,
        "reason": str,
        "risk_score": NUMBER,
        "risk_score_norm": NUMBER,
        "severity": int,
        "ingested": str,
        "module": str,
        "dataset": str,
    },
    "user": {
        "id": str,
        "name": str,
        "hash": str,
        "risk": {
            "calculated_level": {"Low", "Medium", "High"},
            "calculated_score": NUMBER,
            "calculated_score_norm": NUMBER,
        },
    },
    "source": {
        "ip": str,
        "address": str,
        "geo": {
            "city_name": str,
            "region_name": str,
            "country_iso_code": str,
            "location": {"lat!": float, "lon!": float},
        },
        "as": {"number": int, "organization": {"name!": str}},
    },
    "user_agent": {"original!": str},
    "device": {"id!": str},
    "service": {"name!": str},
    "related": {"ip": [str], "user": [str]},
    "rule": {"ruleset": str, "version": str},
    "observer": {"product": str, "vendor": str, "version": str},
    "riskengine": ANYTHING,
}


def faults(schema: Any, value: Any, path: str = "") -> list[str]:
    """Return what of a document the schema does not allow, as paths."""
    if isinstance(schema, Mapping):
        if not isinstance(value, dict) or not value:
            return [f"{path} is no object with members"]
        named = {name.rstrip("!"): inner for name, inner in schema.items()}
        missing = [name[:-1] for name in schema if name.endswith("!") and name[:-1] not in value]
        found = [f"{path}.{name} is missing" for name in missing]
        found += [f"{path}.{name} is not known" for name in value if name not in named]
        for name in value.keys() & named.keys():
            found += faults(named[name], value[name], f"{path}.{name}")
        return found
    if isinstance(schema, list):
        if not isinstance(value, list) or not value:
            return [f"{path} is no list with entries"]
        return [fault for at, inner in enumerate(value) for fault in faults(schema[0], inner, f"{path}[{at}]")]
    if isinstance(schema, set):
        return [] if value in schema and not isinstance(value, bool) else [f"{path} may not be {value!r}"]
    fits = isinstance(value, schema) and (schema in (bool, ANYTHING) or not isinstance(value, bool))
    return [] if fits else [f"{path} may not be {value!r}"]
