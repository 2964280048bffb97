"""Bodies and answers as pydantic models, for the OpenAPI document only: `riskengine.event` is what validates.

A test holds these fields and choices equal to `event.EVENT_FIELDS`, and real answers to these shapes.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["success", "failure", "unknown"]
MfaResult = Literal["passed", "failed"]
Action = Literal["login", "access", "token_refresh", "password_reset", "enrol_factor"]
Sensitivity = Literal["low", "normal", "high"]
NetworkType = Literal["wifi", "cellular", "wired", "vpn", "satellite"]
ReportResult = Literal[
    "step_up_passed", "step_up_failed", "step_up_abandoned",
    "confirmed_safe", "confirmed_compromised", "dismissed",
]  # fmt: skip
Kind = Literal[
    "unknown", "broadband", "mobile", "satellite", "inflight", "public_wifi", "corporate_proxy", "relay", "cdn",
    "hosting", "vpn", "tor", "residential_proxy", "abuse", "private",
]  # fmt: skip
Decision = Literal["allow", "step_up", "deny"]
# No control characters, no outer blanks; stored in Unicode's form NFC.
TEXT = r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$"
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=TEXT)]
Text64 = Annotated[str, Field(min_length=1, max_length=64, pattern=TEXT)]
Method = Annotated[str, Field(min_length=1, max_length=32, pattern=TEXT)]
EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:~-]{1,128}$")]


class Body(BaseModel):
    """What a caller sends: unknown fields are refused by name; null is the same as an absent field."""

    model_config = ConfigDict(extra="forbid")


class Shape(BaseModel):
    """What a caller gets: version 1 only ever gains members."""

    model_config = ConfigDict(extra="allow")


class MfaBody(Body):
    """A second factor already used, in full."""

    result: MfaResult
    amr: list[Method] | None = Field(None, max_length=16, description="Methods, RFC 8176")
    at: datetime | None = Field(None, description="When; the event's own time if absent")


class NetworkBody(Body):
    """What the client says of its network; believed only where it adds risk."""

    type: NetworkType | None = None
    ssid: Text64 | None = None
    bssid: Text64 | None = None
    secured: bool | None = None
    public: bool | None = None


class PositionBody(Body):
    """What the client says of its place."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    accuracy_m: float | None = Field(None, ge=0, le=2e7)


class RttBody(Body):
    """A round trip seen at an edge whose place the policy knows."""

    ms: float = Field(ge=0, le=6e5)
    edge: Text64


class EventBody(Body):
    """One login attempt."""

    user_id: Name | None = Field(
        description="The identity provider's immutable id. Null: no such account, only with outcome failure"
    )
    ip: str = Field(max_length=64, description="IPv4 or IPv6 address of the user", examples=["192.0.2.10"])
    event_id: EventId | None = Field(
        None,
        description="Idempotency key: the same id and body again gets the stored answer, another body 409",
    )
    occurred_at: datetime | None = Field(None, description="RFC 3339 with offset; now if absent")
    login: Name | None = Field(None, description="The name as typed, when it differs")
    outcome: Outcome | None = Field(None, description="Of the credential check; success if absent")
    mfa: MfaResult | MfaBody | None = None
    action: Action | None = Field(None, description="login if absent; token_refresh moves no travel")
    user_agent: Annotated[str, Field(min_length=1, max_length=2048, pattern=TEXT)] | None = None
    device_id: Name | None = None
    session_id: Name | None = None
    groups: list[Annotated[str, Field(min_length=1, max_length=128, pattern=TEXT)]] | None = Field(None, max_length=16)
    resource: Name | None = Field(None, description="What is entered")
    sensitivity: Sensitivity | None = Field(None, description="Of the resource; the policy knows it if absent")
    network: NetworkBody | None = None
    position: PositionBody | None = None
    timezone: str | None = Field(None, description="IANA name", examples=["Europe/Lisbon"])
    rtt: RttBody | None = None
    context: dict[str, Any] | None = Field(None, description="Up to 4 KiB; stored, shown, never scored")


class BatchBody(Body):
    """Up to 1,000 events, decided in order."""

    events: list[EventBody] = Field(max_length=1000)


class ReportBody(Body):
    """How a step-up ended (scope `report`), or an analyst's verdict (scope `verdict`)."""

    result: ReportResult
    amr: list[Method] | None = Field(None, max_length=16, description="Methods used, RFC 8176")
    at: datetime | None = Field(None, description="When; now if absent")
    challenge: Annotated[str, Field(min_length=1, max_length=1024, pattern=TEXT)] | None = Field(
        None, description="What `step_up` of the answer held: proof that the outcome is this event's. Works once"
    )


class RemediateBody(Body):
    """The user whose account is back with its owner."""

    user_id: Name


class BlockBody(Body):
    """What to shut out, for how long and why. Every event that it holds is denied, by the reason `blocked`."""

    value: str = Field(
        min_length=1, max_length=300, description="An address, a CIDR, AS64500, user:ID or device:ID",
        examples=["198.51.100.0/24"],
    )  # fmt: skip
    for_: str = Field(
        alias="for", pattern="^[0-9]{1,6}[mhdw]$", description="1m to 90d, as 90m, 24h, 7d, 2w", examples=["24h"]
    )
    why: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
    force: bool | None = Field(None, description="Also a network wider than /8 (IPv6: /19), or with loopback in it")


class BlocksQuery(Shape):
    """Which blocks."""

    all: Literal["true", "false"] | None = Field(None, description="true: also the newest of those that ended")


class VerdictsBody(Body):
    """Which events, and the verdict, to have them counted; or the `confirm` of an earlier answer, to go on."""

    filters: dict[str, Any] | None = Field(None, description="The filters of POST /events/search; {} for every event")
    result: Literal["confirmed_safe", "confirmed_compromised", "dismissed"] | None = None
    confirm: str | None = Field(None, min_length=1, max_length=16384)


class UndoBody(Body):
    """Nothing, to have the verdicts counted; or the `confirm` of an earlier answer, to go on."""

    confirm: str | None = Field(None, min_length=1, max_length=16384)


class Reason(Shape):
    """Why: `code` is stable, `message` is not. The points of all reasons add up to the score."""

    code: str
    points: float
    message: str | None = None
    evidence: dict[str, Any] | None = None


class TokenBody(Body):
    """What a client asks with, as a form. Its id and secret may come in an Authorization header (Basic) instead.

    A client that is registered with a public key sends a JWT by that key (RFC 7523) as `client_assertion`.
    """

    grant_type: Literal["client_credentials"]
    scope: str | None = Field(None, description="Scopes separated by blanks; all of the client's if absent")
    client_id: str | None = None
    client_secret: str | None = None
    client_assertion_type: Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"] | None = None
    client_assertion: str | None = Field(None, max_length=4096)
    count: int | None = Field(None, ge=1, le=1000, description="How many one-time tokens to give at once")


class StepUp(Shape):
    """What to ask of the user, in RFC 9470's words."""

    acr_values: str
    max_age: int
    challenge: str | None = Field(None, description="To be given with the report of the outcome; only /score tells it")


class Version(Shape):
    """A policy; its version is a digest of its text."""

    name: str
    version: str


class PolicyName(Version):
    """The policy that decided."""

    mode: Literal["enforce", "observe"]
    step_up_at: float = Field(description="The score from which on it asked this user for a second factor")


class Location(Shape):
    """Where the address is; `precision` says whether the point is a city's or stands for a country."""

    country: str | None
    region: str | None
    city: str | None
    place: str | None = Field(description="What sentences call it")
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    radius_km: float = Field(description="With 67 % confidence")
    precision: Literal["city", "country"]


class Network(Shape):
    """Whose network it is, of what kind, and by what evidence."""

    asn: int | None
    name: str | None
    kind: Kind
    claimed: Kind | None = Field(description="What the client's word adds as a risk")
    evidence: str | None
    evidence_date: str | None


class End(Shape):
    """One end of a journey."""

    country: str | None
    place: str | None
    latitude: float
    longitude: float
    radius_km: float


class Travel(Shape):
    """The less likely of the journeys from and to the nearest logins in time."""

    from_: End = Field(alias="from")
    to: End
    distance_km: float
    seconds: float
    min_speed_kmh: float | None = Field(description="After both radii; null within one second")
    impossible: float | None = Field(ge=0, le=1)
    rough: bool = Field(description="One end is known only roughly; it counts less")
    habitual: bool = Field(description="The user is known to jump between the two; it counts little")


class Data(Shape):
    """The geolocation data that was used."""

    source: str
    date: str | None
    attribution: list[str] = Field(description="Show with every place")


class Voucher(Shape):
    """What spoke for the login, and how many points of what was new in it that took back."""

    by: Literal["device", "prefix", "network", "agent"]
    points: float


class Shadow(Shape):
    """What the policy scored alongside would have answered."""

    decision: Decision
    score: float
    policy: Version


class Answer(Shape):
    """A decision. With the scope `score` alone it holds what is required here; `events:read` adds the rest."""

    event_id: str
    decision: Decision
    score: float = Field(ge=0, le=100, description="0 to 100, higher is riskier")
    level: Literal["low", "medium", "high"]
    reasons: list[Reason] = Field(description="Strongest first")
    maturity: Literal["none", "learning", "ripe", "idle"] = Field(description="How much history of this user there was")
    step_up: StepUp | None
    would_be: Decision | None = Field(description="In observe mode, what the decision would have been")
    source: Literal["engine", "fallback"]
    degraded: list[str] = Field(description="What was missing for this decision")
    occurred_at: str | None = Field(None, description="RFC 3339, UTC")
    user_ref: str | None = Field(None, description="Opaque; what URLs carry")
    location: Location | None = None
    network: Network | None = None
    travel: Travel | None = None
    signals: dict[str, float | None] | None = Field(None, description="0 to 1; null is unknown")
    vouched: list[Voucher] | None = Field(None, description="What took points back, strongest first")
    shadow: Shadow | None = Field(None, description="Where a shadow policy is set")
    policy: PolicyName | None = None
    data: Data | None = None


class Filters(Shape):
    """What is wanted; filters that are given all hold. One value may stand for a list of one."""

    user_id: str | None = Field(None, max_length=256)
    user_ref: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    login: str | None = Field(None, max_length=256)
    ip: str | None = Field(None, description="IPv4 or IPv6")
    cidr: str | None = Field(None, description="A network of any length from /8 (IPv4) or /32 (IPv6)")
    device_id: str | None = Field(None, max_length=256)
    session_id: str | None = Field(None, max_length=256)
    asn: list[int] | None = None
    network: list[Kind] | None = None
    country: list[str] | None = Field(None, description="Two letters each")
    city: list[str] | None = None
    decision: list[Decision] | None = None
    level: list[Literal["low", "medium", "high"]] | None = None
    outcome: list[Literal["success", "failure", "unknown"]] | None = None
    action: list[str] | None = None
    state: list[str] | None = Field(None, description="open, or the last report that counts")
    resource: list[str] | None = None
    reason: str | None = Field(None, description="The code of a reason that had a part in the decision")
    min_score: float | None = Field(None, ge=0, le=100)
    max_score: float | None = Field(None, ge=0, le=100)
    since: str | None = Field(None, description="RFC 3339, inclusive")
    until: str | None = Field(None, description="RFC 3339, exclusive")
    min_speed_kmh: float | None = Field(None, ge=0, le=1e9, description="What the journey would at least have taken")


class SearchBody(Filters):
    """What is wanted, and how its pages are. Filters that are given all hold; one value may stand for a list of one."""

    order: Literal["time", "score", "arrival"] | None = Field(
        None, description="time: newest first, the default; arrival: as they were stored, each exactly once"
    )
    limit: int | None = Field(None, ge=1, le=1000, description="Events a page; 100 unless given")
    after: str | None = Field(
        None, description="`next` of the page before, with the same filters and order; by arrival also now"
    )
    total: bool | None = Field(None, description="Count what matches: exact up to 10,000, then 10,000+")


class StatisticsQuery(Shape):
    """Which time, in which steps."""

    since: str | None = Field(None, description="RFC 3339; a week before `until` unless given")
    until: str | None = Field(None, description="RFC 3339; now unless given")
    step: Literal["hour", "day"] | None = Field(None, description="hour unless given; at most 1,000 of them")


class ExportQuery(Filters):
    """What is wanted, in which format."""

    format: Literal["ndjson", "csv", "ocsf", "ecs"] | None = Field(None, description="ndjson unless given")


class TokenAnswer(Shape):
    """A new token, as RFC 6749, 5.1 has it."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds")
    scope: str = Field(description="What it may do, separated by blanks")
    access_tokens: list[str] | None = Field(None, description="With `count`: so many one-time tokens, the first too")


class AuthorizationServer(Shape):
    """How tokens are got here (RFC 8414)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]


class PublicKeys(Shape):
    """The public keys that access tokens are checked with (RFC 7517)."""

    keys: list[dict[str, Any]]


class Fault(Shape):
    """One thing wrong with a body."""

    pointer: str = Field(description="JSON pointer, RFC 6901; empty for the body as a whole")
    detail: str


class Problem(Shape):
    """RFC 9457 problem details. Branch on `code`; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[Fault] | None = None
    error: str | None = Field(None, description="Of `/oauth/token`: what RFC 6749, 5.2 calls it")
    error_description: str | None = None


class ProblemMember(Shape):
    """What stands in a batch's answer for an event that could not be decided."""

    problem: Problem


class BatchAnswer(Shape):
    """One answer or problem an event, in order."""

    answers: list[Answer | ProblemMember]


class FoundEvent(Shape):
    """One event that a search found: as it was sent, its answer, and what was reported of it."""

    event: dict[str, Any]
    answer: Answer
    state: str = Field(description="open, or the last report that counts")


class Total(Shape):
    """How many events match: at least `count`, and no more where that is exact."""

    count: int
    exact: bool
    text: str = Field(description="As people read it: 137, or 10,000+")


class EventPage(Shape):
    """One page of a search. A page may come short, and even empty, while `next` is there: it looked at enough rows."""

    events: list[FoundEvent]
    next: str | None = Field(description="Send it as `after` for the following page; null at the end, but by arrival")
    scanned_to: str | None = Field(description="How far was looked, RFC 3339; null when that was everything there is")
    total: Total | None = Field(None, description="Where it was asked for")


class Familiar(Shape):
    """How well something is known of a user."""

    trust: Literal["provisional", "trusted"] | None
    logins: int
    days: int
    last_day: str | None


class KnownPlace(Familiar):
    """A place that a user logged in from."""

    place: str | None
    latitude: float
    longitude: float


class KnownCountry(Familiar):
    """A country that a user logged in from."""

    country: str | None


class KnownNetwork(Familiar):
    """A network that a user logged in through."""

    asn: int
    name: str | None


class KnownDevice(Familiar):
    """A device of a user; its id is stored keyed, and is null where none of the last events shows it."""

    device_id: str | None
    sent: bool = Field(description="false: how often no device id was sent")
    user_agent: str | None


class KnownHour(Shape):
    """Logins within three hours of the user's own week; weekday 0 is Monday."""

    weekday: int
    hour: int
    logins: int


class Person(Shape):
    """What the engine knows of a user."""

    user_ref: str
    at_risk: bool
    maturity: str | None = Field(description="At the last event")
    logins_learned: int
    days: int
    first_day: str | None
    last_day: str | None
    utc_offset_minutes: int | None
    hours: list[KnownHour]
    places: list[KnownPlace]
    countries: list[KnownCountry]
    networks: list[KnownNetwork]
    prefixes: int
    devices: list[KnownDevice]
    last_events: list[FoundEvent] = Field(description="Newest first, 50 at most")


class Counted(Shape):
    """How many events showed a value."""

    value: str
    events: int
    over_time: list[int] = Field(description="One number for each of `times`")


class Statistics(Shape):
    """Counts over time. They are kept beside scoring and may lag."""

    step: Literal["hour", "day"]
    times: list[str] = Field(description="The beginnings of the steps, RFC 3339")
    lag_seconds: float | None = Field(description="How old the counts of the last two hours are; null before the first")
    whole_since: str | None = Field(description="How far back all hours were counted so far")
    decision: list[Counted]
    reason: list[Counted]
    country: list[Counted]
    network: list[Counted] = Field(description="By kind")


class StoredEvent(Shape):
    """One event as stored, its answer, and the reports on it."""

    event: dict[str, Any]
    answer: Answer
    explanation: list[str] = Field(description="What decided, and what would have changed it")
    state: str = Field(description="open, or the last report that counts")
    reports: list[dict[str, Any]]


class Block(Shape):
    """A block; it is in force from `created_at` until it expires or is lifted."""

    id: str
    kind: Literal["address", "asn", "user", "device"]
    value: str
    why: str
    by: str
    created_at: str
    expires_at: str
    lifted_at: str | None


class AddedBlock(Block):
    """A block that was put up; all servers heed it within 5 seconds."""

    last_day: Total | None = Field(
        description="How many logins of the last 24 hours it would have denied; null for a network too wide to count"
    )


class BlockList(Shape):
    """Blocks, the newest first."""

    blocks: list[Block]


class VerdictsAnswer(Shape):
    """How far a verdict over a search, or its undoing, has come. Nothing is done before `confirm` is sent back."""

    id: str = Field(description="What undoes it: POST /events/verdicts/{id}/undo")
    result: Literal["confirmed_safe", "confirmed_compromised", "dismissed", "withdrawn"]
    count: int = Field(description="How many events it was counted to be given on")
    applied: int
    skipped: int = Field(description="Events that had the verdict, have no account, or on which another one stands")
    confirm: str | None = Field(
        description="Send it back for the next step, of 100 events, within an hour; null at the end"
    )


class Accepted(Shape):
    """A report or remediation as taken in."""


class Status(Shape):
    """The process answers, or is ready."""

    status: str


BODIES = (EventBody, BatchBody, ReportBody, RemediateBody, SearchBody, BlockBody, VerdictsBody, UndoBody, TokenBody)
ANSWERS = (
    Answer, BatchAnswer, StoredEvent, EventPage, Person, Statistics, Accepted, Block, AddedBlock, BlockList,
    VerdictsAnswer, TokenAnswer, AuthorizationServer, PublicKeys, Status, Problem,
)  # fmt: skip
