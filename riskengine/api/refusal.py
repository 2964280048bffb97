"""Whole answers to requests that never become work, made ready: each costs two replacements."""

from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from riskengine.access import guesses
from riskengine.api.envelope import dressed
from riskengine.api.problems import HEAD_TOO_LARGE, Problem, problem_of, respond
from riskengine.errors import LimitReached, Overloaded

_MARK = "0" * 24  # where the id of a request stands in what is made ready


class Refusal:
    """The whole answer to every request that is turned away for one reason."""

    def __init__(self, problem: Problem) -> None:
        response = respond(problem, _MARK)
        lines = b"".join(b"%b: %b\r\n" % line for line in dressed(response.raw_headers, _MARK))
        body = bytes(response.body)
        self.status = response.status_code
        self._whole = STATUS_LINE[self.status] + lines + b"\r\n" + body
        self._bytes, self._marks = len(body), body.count(_MARK.encode())
        self._length = b"content-length: %d" % self._bytes

    def to(self, request_id: str) -> bytes:
        """Return the answer to the request of this id."""
        length = b"content-length: %d" % (self._bytes + self._marks * (len(request_id) - len(_MARK)))
        return self._whole.replace(self._length, length).replace(_MARK.encode(), request_id.encode())


FULL = Refusal(problem_of(Overloaded()))
LARGE = Refusal(Problem(HEAD_TOO_LARGE, HEAD_TOO_LARGE.title, {}, {"Connection": "close"}))


def slowed(seconds: int) -> Refusal:
    """Return what is told to who has to wait so long after wrong credentials, and count that."""
    error = guesses.refusal(seconds)
    return _ready(str(error), error.seconds)


@lru_cache(128)
def _ready(sentence: str, seconds: int) -> Refusal:
    return Refusal(problem_of(LimitReached(sentence, seconds)))
