"""The formats of logs that can be read, and the mappings of vendors' that come with riskengine."""

from dataclasses import replace
from functools import cache
from importlib.resources import files

from riskengine.errors import Fault, InvalidInput
from riskengine.readers.mapping import LogMapping, Value, parse_mapping
from riskengine.readers.path import parse_path

# Those that are read by a mapping, in the order in which a record is held against them.
MAPPED = {
    "pingfederate": "PingFederate audit log in CEF",
    "keycloak-text": "Keycloak's server log, lines of org.keycloak.events",
    "rba": "research CSV with the columns of the RBA data set",
    "ocsf": "OCSF Authentication (class 3002)",
    "okta": "Okta System Log",
    "entra": "Microsoft Entra ID sign-in logs, as diagnostic settings export them",
    "entra-graph": "Microsoft Entra ID sign-ins, as Graph gives them",
    "m365": "Microsoft 365 unified audit log: UserLoggedIn, UserLoginFailed; JSON, or CSV with AuditData",
    "google": "Google Workspace login audit",
    "cloudtrail": "AWS CloudTrail: ConsoleLogin",
    "auth0": "Auth0 tenant log",
    "keycloak": "Keycloak events in JSON",
    "authentik": "authentik events",
    "github": "GitHub audit log",
    "cloudflare": "Cloudflare Access, Logpush or API",
    "pingam": "PingAM and ForgeRock AM authentication audit",
    "pingone": "PingOne audit activities",
    "ecs": "Elastic Common Schema, event.category authentication",
    "cim": "Splunk CIM Authentication; JSON or CSV export",
}
FORMATS = {
    "ndjson": "riskengine's own: one event or report a line, or a list of them",
    "csv": "riskengine's own fields as columns",
    "sshd": "OpenSSH in syslog form, BSD or ISO times, or journald's JSON",
} | MAPPED


@cache
def built_in(name: str) -> LogMapping:
    """Return the mapping of a vendor's format, one of MAPPED."""
    text = (files("riskengine.readers") / "mappings" / f"{name}.toml").read_text("utf-8")
    return parse_mapping(text, name)


def with_user_field(mapping: LogMapping, path: str) -> LogMapping:
    """Return a mapping that takes the user from another place; raise InvalidInput if `path` is no path."""
    try:
        paths = tuple(parse_path(one.strip(), dotted=True) for one in path.split(","))
    except InvalidInput as error:
        raise InvalidInput([Fault("--user-field", error.faults[0].detail)]) from error
    return replace(mapping, event={**mapping.event, "user_id": (Value(paths),)})
