"""What a step-up is asked for with: a signed note that names event, user and methods, and comes back with its outcome.

It is made of what the answer holds and of the keys, so that a retry of the event gets the same one, any server of a
database knows it, and none has to be kept. It works once because its event keeps how its step-up ended.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from riskengine.check import parse_time
from riskengine.errors import Conflict, Fault, InvalidInput
from riskengine.event import STEP_UP_RESULTS, Report
from riskengine.history.learn import PASS_MS
from riskengine.seal import Seal

VERSION = "c1"
POINTER = "/challenge"
_FIELD = "challenge"
_encode = msgspec.json.Encoder().encode


class Challenges:
    """Makes challenges with one seal and checks those that come back; `required` refuses outcomes without one."""

    def __init__(self, seal: Seal, required: bool = False) -> None:
        self._seal, self._required = seal, required

    def put(self, answer: dict[str, Any], realm: str) -> dict[str, Any]:
        """Return an answer with its challenge: a copy where it asks for a step-up, else itself."""
        terms = answer["step_up"]
        if terms is None or answer["user_ref"] is None:  # of nobody, no outcome is taken
            return answer
        return {**answer, "step_up": {**terms, "challenge": self.of(answer, realm)}}

    def of(self, answer: Mapping[str, Any], realm: str) -> str:
        """Return the challenge of a full answer that asks for a step-up: version, payload and signature, base64url.

        The payload is JSON that its receiver may read: `event_id`, `sub` (the user_ref), `acr_values` (RFC 9470),
        `exp` in seconds since 1970.
        """
        payload = {
            "event_id": answer["event_id"],
            "sub": answer["user_ref"],
            "acr_values": answer["step_up"]["acr_values"],
            "exp": (parse_time(answer["occurred_at"]) + PASS_MS) // 1000,
        }
        text = _base64url(_encode(payload))
        return f"{VERSION}.{text}.{self._signature(realm, text)}"

    def check(self, report: Report, realm: str, now: int) -> None:
        """Raise unless a report may be taken as far as its challenge says.

        InvalidInput where it is missing and required, or is not one that was made for this event; Conflict where it has
        expired. Whether it was used before, the store knows.
        """
        given = report.challenge
        if report.result not in STEP_UP_RESULTS:
            if given is not None:
                raise InvalidInput([Fault(POINTER, "belongs to the outcome of a step-up, not to a verdict")])
            return
        if given is None:
            if self._required:
                raise InvalidInput([Fault(POINTER, "is required: the one in step_up of the answer to this event")])
            return
        payload = self._opened(given, realm)
        if payload is None or payload.get("event_id") != report.event_id:
            raise InvalidInput([Fault(POINTER, "is not the challenge of this event")])
        if now >= payload["exp"] * 1000:
            raise Conflict("the challenge has expired: a new login gets a new one")

    def _opened(self, given: str, realm: str) -> Any:
        """Return the payload of a challenge that was made here for this realm, else None."""
        version, _, rest = given.partition(".")
        text, _, signature = rest.partition(".")
        ours = hmac.compare_digest(self._signature(realm, text).encode(), signature.encode())
        if version != VERSION or not ours:
            return None
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, msgspec.DecodeError):
            return None  # nobody signs such a thing

    def _signature(self, realm: str, text: str) -> str:
        return _base64url(self._seal.index(realm, _FIELD, text))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
