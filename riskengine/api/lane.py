"""The short way of POST /score: a plain request that came whole is read, decided and answered without the routes.

Task, scope, middlewares and response objects of the ordinary way cost three times what reading and answering does. What
is not plain, and every refusal that can be told before deciding, takes the ordinary way; both answer alike.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from time import perf_counter

from starlette.types import Scope

from riskengine.access.caller import Caller
from riskengine.api.calls import JSON, Desk, encoded
from riskengine.api.envelope import GONE, REQUEST_ID, dressed, given_id, new_id
from riskengine.api.problems import responded
from riskengine.api.score import SCORE_BYTES, challenged, ticket_for, visible
from riskengine.check import decode
from riskengine.engine.arrival import Ticket
from riskengine.engine.segment import Outcome
from riskengine.errors import AccessDenied, RiskEngineError
from riskengine.event import parse_event
from riskengine.metrics import Bins, answered

PATH = "/score"
_MARK = b"0" * 24  # where the id of a request stands in what is made ready
# What asks for more than the short way does.
_ODD = frozenset((b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"))

Header = tuple[bytes, bytes]
Head = Mapping[bytes, bytes]
Send = Callable[[int, bytes], bool]  # sends an answer: status, rest of the head, body; False when the client has gone


class Lane:
    """Takes plain requests over from the protocol, and gives it the whole answer when there is one."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._slots = desk, desk.limits.logins
        self._bins: dict[int, Bins] = {}
        self._head = b"content-length: %d\r\n" + _lines(dressed([JSON], _MARK.decode()))

    def plain(self, headers: Collection[Header]) -> Head | None:
        """Return the headers (names in small letters) of a POST by name if it may go this way."""
        head = dict(headers)
        length = head.get(b"content-length", b"")
        known = head.get(b"content-type") == b"application/json" and b"authorization" in head and length.isdigit()
        if not known or len(head) < len(headers) or not _ODD.isdisjoint(head) or int(length[:20]) > SCORE_BYTES:
            return None
        return head

    def take(self, head: Head, body: bytes, send: Send, scope: Scope) -> bool:
        """Take a plain request; False for one that the ordinary way has to answer. Else `send` gets the answer later.

        A request that is wrong is read twice: here, and where it is told what is wrong.
        """
        begun = perf_counter()
        caller = self._desk.door.recall(head[b"authorization"].decode("latin-1"), scope)
        if caller is None or "score" not in caller.scopes or not self._slots.take(caller.key_id):
            return False
        given = head.get(REQUEST_ID)
        request_id = (given_id([(REQUEST_ID, given)]) if given else None) or new_id()
        offered = False
        try:
            event = parse_event(decode(body))
            ticket = None if caller.ticket is None else ticket_for(event, caller.ticket)
            tell = partial(self._tell, send, caller, request_id, begun, ticket)
            self._desk.live.offer(event, caller.realm, "report" in caller.scopes, tell, ticket)
            offered = True
        except RiskEngineError:
            pass  # the ordinary way says what is wrong
        finally:
            if not offered:
                self._slots.give_back(caller.key_id)
        return offered

    def _tell(
        self, send: Send, caller: Caller, request_id: str, begun: float, ticket: Ticket | None, outcome: Outcome
    ) -> None:
        self._slots.give_back(caller.key_id)
        try:
            status, message = self._message(outcome, caller, request_id)
            if ticket is not None:
                message = self._settled(ticket, caller, outcome) + message
        except Exception as error:
            status, message = _problem(error, request_id)
        status = status if send(status, message) else GONE
        bins = self._bins.get(status)
        if bins is None:
            bins = self._bins[status] = answered(PATH, status)
        bins.observe(perf_counter() - begun)

    def _settled(self, ticket: Ticket, caller: Caller, outcome: Outcome) -> bytes:
        """Return the line that carries the next token; nothing where this one was not spent, or on something else."""
        if isinstance(outcome, dict) and ticket.spent_at is not None:
            return b"next-token: %b\r\n" % self._desk.door.following(caller, ticket.spent_at).encode()
        if isinstance(outcome, AccessDenied):
            self._desk.door.note((caller.realm, caller.name, "used before"))
        return b""

    def _message(self, outcome: Outcome, caller: Caller, request_id: str) -> tuple[int, bytes]:
        if isinstance(outcome, RiskEngineError):
            return _problem(outcome, request_id)
        body = encoded(visible(challenged(outcome, caller, self._desk), caller))
        return 200, (self._head % len(body)).replace(_MARK, request_id.encode()) + body


def _problem(error: Exception, request_id: str) -> tuple[int, bytes]:
    """Return the status of an error, and its answer from the headers on."""
    response = responded(error, request_id)
    return response.status_code, _lines(dressed(response.raw_headers, request_id)) + bytes(response.body)


def _lines(headers: Iterable[Header]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"
