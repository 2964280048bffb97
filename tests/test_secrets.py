"""Secrets: compared in constant time, never logged, never taken from a URL."""

import ast
import base64
import hmac
import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never
from urllib.parse import urlencode

import pytest

from riskengine.access import purse as purse_module
from riskengine.access.access import Access
from riskengine.access.caller import DENIED
from riskengine.access.clients import Clients, has_secret
from riskengine.access.keyring import Keyring
from riskengine.access.keys import NO_DIGEST
from riskengine.access.purse import Purse, new_secret
from riskengine.app import clock, open_store
from riskengine.console.sessions import Sessions
from riskengine.errors import AccessDenied
from riskengine.seal import Seal
from riskengine.store.contract import AccessKeyRow
from riskengine.store.memory import MemoryStore
from tests.api.conftest import Service, running, settings_for
from tests.fixtures_geo import World
from tests.served import Served, serving, settings_of

NOW = 1_772_615_731_500
ROOT = Path(__file__).parent.parent

# --- compared in constant time ----------------------------------------------------------------------------------------


class Untouchable(bytes):
    """Bytes that may be compared by hmac.compare_digest alone."""

    def __eq__(self, other: object) -> Never:
        raise AssertionError("compared in a time that tells how much of it was right")

    __ne__ = __eq__
    __hash__ = bytes.__hash__

    def __getitem__(self, key: Any) -> Any:
        return Untouchable(bytes(self)[key])


class Rows(MemoryStore):
    """A store whose digests may not be compared plainly."""

    def access_key(self, key_id: str) -> AccessKeyRow | None:
        row = super().access_key(key_id)
        return None if row is None else _with(row, digest=Untouchable(row.digest))


def _with(row: Any, **given: Any) -> Any:
    return type(row)(**{name: getattr(row, name) for name in row.__slots__} | given)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What hmac.compare_digest was given."""
    found: list[tuple[Any, Any]] = []
    plain = hmac.compare_digest

    def noting(one: Any, other: Any) -> bool:
        found.append((one, other))
        return plain(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    return found


def test_of_a_key_digests_are_compared_and_so_they_are_where_there_is_none(compared: list[tuple[Any, Any]]) -> None:
    access = Access(Rows())
    token, row = access.create("caller", ["score"], "default", NOW)
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    unknown = f"rk_{'0' * 16}_{'0' * 64}"

    assert access.authenticate(f"Bearer {token}", NOW).key_id == row.id
    for other in (wrong, unknown):
        with pytest.raises(AccessDenied, match=re.escape(DENIED)):
            access.authenticate(f"Bearer {other}", NOW)

    assert len(compared) == 3, "as often, whatever is wrong"
    assert [bytes(against) == NO_DIGEST for _, against in compared] == [False, False, True]


def test_of_a_client_two_digests_are_compared_whatever_there_is(compared: list[tuple[Any, Any]]) -> None:
    clients = Clients(MemoryStore())
    row, secret = clients.create("caller", ["score"], "default", NOW)
    rotated, new = clients.rotate(row.id, NOW)
    assert rotated.digest is not None
    assert rotated.old_digest is not None
    guarded = _with(rotated, digest=Untouchable(rotated.digest), old_digest=Untouchable(rotated.old_digest))

    found = [has_secret(one, given, NOW) for one in (guarded, None) for given in (secret or "", new, "wrong")]

    assert found == [True, True, False, False, False, False]
    assert len(compared) == 2 * len(found)


def test_the_signature_of_a_one_time_token_is_compared_so_too(seal: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients(MemoryStore())
    purse = Purse(Keyring(MemoryStore(), seal, "one_time", new_secret), clients, MemoryStore())
    row, _ = clients.create("caller", ["score"], "default", NOW, one_time=True)
    [token] = purse.issue(row, ["score"], None, 1, NOW)
    plain = hmac.digest
    guarded = SimpleNamespace(digest=lambda *given: Untouchable(plain(*given)))
    monkeypatch.setattr(purse_module, "hmac", guarded)

    assert purse.is_ours(token)
    assert not purse.is_ours(token[:-2] + ("AA" if token[-2:] != "AA" else "BB"))


# Comparisons of names that sound like secrets, and why each may be plain.
PLAIN = {
    ("riskengine/access/purse.py", "_written(raw) != token"),  # after its signature was found right
}
SECRET = re.compile(r"(^|_)(secret|digest|mac|csrf|signature|token|password|cookie|credential|key)s?$")


def test_no_secret_is_compared_in_another_way() -> None:
    found = set()
    parts = [*(ROOT / "riskengine").glob("challenge.py")]
    for folder in ("access", "api", "console"):
        parts += (ROOT / "riskengine" / folder).glob("*.py")
    for file in parts:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Compare) or not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                continue
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue
            if any(SECRET.search(_name(side)) for side in sides):
                found.add((str(file.relative_to(ROOT)), ast.unparse(node)))

    assert len(parts) > 20
    assert found == PLAIN


def _name(node: ast.AST) -> str:
    """Return what a value is called by who reads it: `digest` for `row.digest`, `token` for `token.encode()[3:]`."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Subscript(value=value) | ast.Call(func=ast.Attribute(value=value, attr="encode" | "hex" | "strip")):
            return _name(value)
        case ast.Call(func=ast.Attribute(attr="keys")):
            return ""  # the names of a mapping
        case ast.Attribute(attr=name) | ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return ""


# --- never logged -----------------------------------------------------------------------------------------------------

# The real command, all of whose parts say all that they could say.
LOUD = """
import importlib, logging
serve = importlib.import_module("riskengine.cli.serve")
quiet = serve.start_logging
def loud(log_format):
    quiet(log_format)
    logging.getLogger().setLevel(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
serve.start_logging = loud
importlib.import_module("riskengine.cli").main()
"""


class Asking:
    """Sends requests, and notes every secret in them and in their answers."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.secrets: set[str] = set()
        self.statuses: list[int] = []

    def send(self, method: str, path: str, body: str = "", **headers: str) -> tuple[Any, str]:
        connection = HTTPConnection("127.0.0.1", self._served.settings.port, timeout=20)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        self.statuses.append(answer.status)
        return answer.headers, text

    def score(self, token: str, query: str = "") -> Any:
        self.secrets.add(token)
        body = json.dumps({"user_id": "ana", "ip": "192.0.2.10", "event_id": f"e{len(self.statuses)}"})
        headers, _ = self.send(
            "POST", f"/score{query}", body, Authorization=f"Bearer {token}", Content_Type="application/json"
        )
        return headers

    def token(self, client_id: str, secret: str, basic: bool) -> str:
        self.secrets.add(secret)
        form, more = {"grant_type": "client_credentials"}, {}
        if basic:
            header = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
            self.secrets.add(header)
            more = {"Authorization": f"Basic {header}"}
        else:
            form |= {"client_id": client_id, "client_secret": secret}
        kind = "application/x-www-form-urlencoded"
        _, text = self.send("POST", "/oauth/token", urlencode(form), Content_Type=kind, **more)
        found = json.loads(text).get("access_token", "")
        return str(found)

    def sign_in(self, **form: str) -> str:
        """Return the cookie, "" for none."""
        self.secrets.update(form.values())
        kind = "application/x-www-form-urlencoded"
        headers, _ = self.send(
            "POST", "/console/sign-in", urlencode(form), Content_Type=kind, Sec_Fetch_Site="same-origin"
        )
        cookie = str(headers["set-cookie"] or "").partition(";")[0].partition("=")[2]
        if cookie:
            self.secrets.add(cookie)
        return cookie

    def look(self, cookie: str, path: str = "/console") -> str:
        self.secrets.add(cookie)
        return self.send("GET", path, Cookie=f"__Host-riskengine={cookie}")[1]


def altered(secret: str) -> str:
    """Return a secret of the same shape that is none."""
    return secret[:-4] + ("AAAA" if secret[-4:] != "AAAA" else "BBBB")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    settings = settings_of(tmp_path_factory.mktemp("home"), world, limit_failures=8)
    with serving(settings, program=("-c", LOUD)) as served:
        yield served


def test_no_secret_gets_into_the_log_or_onto_the_disk_however_loud_it_is(served: Served) -> None:
    store = open_store(served.settings)
    clients = Clients(store)
    plain, secret = clients.create("plain", ["score"], "default", clock())
    single, other = clients.create("single", ["score"], "default", clock(), one_time=True)
    link = Sessions(store, Access(store)).make_link(served.token.split("_")[1], clock())
    store.close()
    asking = Asking(served)

    asking.score(served.token)
    asking.score(served.token, f"?access_token={served.token}")
    asking.score(f"{served.token[:-1]}{int(served.token[-1], 16) ^ 1:x}")
    jwt = asking.token(plain.id, secret or "", basic=True)
    asking.token(plain.id, altered(secret or ""), basic=False)
    asking.score(jwt)
    asking.score(altered(jwt))
    once = asking.token(single.id, other or "", basic=False)
    following = asking.score(once)["next-token"]
    asking.score(once)
    asking.score(following)
    asking.score(altered(following))
    cookie = asking.sign_in(key=served.token)
    page = asking.look(cookie)
    asking.secrets.update(re.findall(r'name="csrf" value="([^"]+)"', page))
    asking.look(altered(cookie))
    asking.sign_in(key=altered(served.token))
    asking.send("GET", f"/console/sign-in?link={link}")
    asking.sign_in(link=link)
    asking.sign_in(link=altered(link))
    for _ in range(8):
        asking.score(f"rk_{'1' * 16}_{'2' * 64}")

    assert {200, 303, 400, 401, 403, 429} == set(asking.statuses)
    assert len(asking.secrets) > 15
    assert cookie
    assert following
    log = served.log.read_text()
    assert "DEBUG" in log.upper()
    assert "select" in log.lower(), "also what the database is asked is in there"
    # A key's id, a token's header and claims are no secrets: what must not be told is what proves them.
    proofs = {one[20:] if one.startswith("rk_") else one.rpartition(".")[2] for one in asking.secrets}
    assert all(len(one) >= 32 for one in proofs)
    shown = [one for one in proofs if one in log]
    assert shown == []
    files = [file for file in served.settings.home.rglob("*") if file.is_file() and file != served.log]
    assert [file.name for file in files for one in proofs if one.encode() in file.read_bytes()] == []


# --- never in a URL ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Service]:
    with running(settings_for(tmp_path_factory.mktemp("home"), world)) as service:
        yield service


@pytest.mark.parametrize("name", ["access_token", "token", "api_key", "key", "Authorization", "client_secret"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/score"),
        ("POST", "/score/batch"),
        ("GET", "/events"),
        ("GET", "/events/some"),
        ("GET", "/events/export"),
        ("GET", "/users/" + "0" * 32),
        ("GET", "/stats"),
        ("GET", "/blocks"),
        ("POST", "/oauth/token"),
    ],
)
def test_a_credential_in_a_url_is_refused_by_name_and_never_used(
    service: Service, method: str, path: str, name: str
) -> None:
    url = f"{path}?{name}={service.token}"
    form = {"grant_type": "client_credentials"} if path == "/oauth/token" else None

    for headers in ({}, service.headers):
        answer = service.client.request(method, url, headers=headers, data=form)
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown-parameter")
        assert answer.json()["parameter"] == name
        assert service.token not in answer.text
