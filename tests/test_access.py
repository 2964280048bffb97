"""An access key opens what its scopes name, in its own realm, until it expires or is revoked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.access.access import STALE_MS, Access
from riskengine.access.caller import DAY_MS, DENIED, SCOPES, require
from riskengine.access.remembered import FRESH_MS, MOST_REMEMBERED
from riskengine.errors import AccessDenied, InvalidInput
from riskengine.store.memory import MemoryStore

NOW = 1_772_615_731_500


def made(store: MemoryStore, *scopes: str, realm: str = "default") -> tuple[Access, str]:
    access = Access(store)
    token, _ = access.create("login-service", scopes or ("score",), realm, NOW)
    return access, f"Bearer {token}"


def test_a_key_names_its_caller_realm_and_scopes() -> None:
    access, header = made(MemoryStore(), "score", "report", realm="acme")

    caller = access.authenticate(header, NOW)

    assert (caller.name, caller.realm, caller.scopes) == (
        "login-service",
        "acme",
        frozenset({"score", "report"}),
    )


def test_only_a_digest_of_the_secret_is_stored() -> None:
    store = MemoryStore()
    _, header = made(store)
    _, _, secret = header.removeprefix("Bearer ").split("_")

    [row] = store.access_keys()

    assert len(bytes.fromhex(secret)) == 32
    assert secret not in repr(row)
    assert bytes.fromhex(secret) not in row.digest
    assert len(row.digest) == 32


def test_a_key_works_for_90_days_unless_told_otherwise() -> None:
    access, header = made(MemoryStore())
    other, row = access.create("short", ["score"], "default", NOW, days=1)

    assert access.authenticate(header, NOW + 90 * DAY_MS - 1)
    with pytest.raises(AccessDenied):
        access.authenticate(header, NOW + 90 * DAY_MS)
    assert row.expires_at == NOW + DAY_MS
    with pytest.raises(AccessDenied):
        access.authenticate(f"Bearer {other}", NOW + DAY_MS)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="no_header"),
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="no_token"),
        pytest.param("Bearer rk_1_2", id="malformed"),
        pytest.param("Basic cms6cms=", id="another_scheme"),
        pytest.param(f"Bearer rk_{'0' * 16}_{'0' * 64}", id="unknown"),
        pytest.param(f"Bearer rk_{'0' * 16}_{'0' * 64} trailing", id="trailing_words"),
        pytest.param("Bearer rk_" + "é" * 81, id="not_ascii"),
    ],
)
def test_every_refusal_says_the_same(header: str | None) -> None:
    access, good = made(MemoryStore())

    with pytest.raises(AccessDenied) as refused:
        access.authenticate(header, NOW)

    assert str(refused.value) == DENIED
    assert refused.value.scope is None
    with pytest.raises(AccessDenied, match=DENIED):
        access.authenticate(good[:-1] + ("0" if good[-1] != "0" else "1"), NOW)
    with pytest.raises(AccessDenied, match=DENIED):
        access.authenticate(good, NOW + 365 * DAY_MS)


def test_the_scheme_is_not_case_sensitive() -> None:
    access, header = made(MemoryStore())

    assert access.authenticate(header.replace("Bearer", "bearer"), NOW)


def test_a_revoked_key_is_refused_within_two_seconds_everywhere() -> None:
    store = MemoryStore()
    access, header = made(store)
    elsewhere = Access(store)
    caller = elsewhere.authenticate(header, NOW)

    assert access.revoke(caller.key_id, NOW)

    with pytest.raises(AccessDenied, match=DENIED):
        access.authenticate(header, NOW)
    assert access.recall(header, NOW) is None
    assert elsewhere.recall(header, NOW + FRESH_MS - 1) == caller
    assert elsewhere.recall(header, NOW + FRESH_MS) is None
    with pytest.raises(AccessDenied, match=DENIED):
        elsewhere.authenticate(header, NOW + FRESH_MS)
    assert elsewhere.recall_stale(header, NOW + FRESH_MS) is None


def test_revoking_what_does_not_exist_says_so() -> None:
    assert not Access(MemoryStore()).revoke("0" * 16, NOW)


def test_while_the_store_is_silent_a_key_seen_lately_still_works_but_never_past_its_end() -> None:
    access, header = made(MemoryStore())
    token, row = access.create("short", ["score"], "default", NOW - DAY_MS + 60_000, days=1)
    caller = access.authenticate(header, NOW)
    access.authenticate(f"Bearer {token}", NOW)

    assert access.recall_stale(header, NOW + STALE_MS - 1) == caller
    assert access.recall_stale(header, NOW + STALE_MS) is None
    assert access.recall_stale(f"Bearer {token}", row.expires_at - 1) is not None
    assert access.recall_stale(f"Bearer {token}", row.expires_at) is None
    assert access.recall_stale(None, NOW) is None


def test_what_is_remembered_is_bounded() -> None:
    access, header = made(MemoryStore())
    for blanks in range(MOST_REMEMBERED + 10):
        access.authenticate(header + " " * blanks, NOW)

    assert len(access._remembered) == MOST_REMEMBERED
    assert access.recall(header, NOW) is None


def test_a_scope_that_is_lacking_is_named() -> None:
    access, header = made(MemoryStore(), "score")
    caller = access.authenticate(header, NOW)

    require(caller, "score")
    require(caller, "report", "score")
    with pytest.raises(AccessDenied) as refused:
        require(caller, "verdict")
    assert refused.value.scope == "verdict"


def test_admin_is_a_scope_like_the_others_and_implies_none() -> None:
    access, header = made(MemoryStore(), "admin")

    with pytest.raises(AccessDenied):
        require(access.authenticate(header, NOW), "score")


@pytest.mark.parametrize(
    ("name", "scopes", "realm", "days", "pointer"),
    [
        ("ok", ["everything"], "default", 90, "/scopes"),
        ("ok", [], "default", 90, "/scopes"),
        ("", ["score"], "default", 90, "/name"),
        ("a b", ["score"], "default", 90, "/name"),
        ("ok", ["score"], "*", 90, "/realm"),
        ("ok", ["score"], "default", 0, "/days"),
        ("ok", ["score"], "default", 4000, "/days"),
    ],
)
def test_a_key_with_a_wrong_attribute_is_not_made(
    name: str, scopes: list[str], realm: str, days: int, pointer: str
) -> None:
    store = MemoryStore()

    with pytest.raises(InvalidInput) as refused:
        Access(store).create(name, scopes, realm, NOW, days)

    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert store.access_keys() == []


@given(st.text() | st.text().map(lambda text: f"Bearer rk_{text}"))
def test_no_header_is_more_than_refused(header: str) -> None:
    with pytest.raises(AccessDenied, match=DENIED):
        Access(MemoryStore()).authenticate(header, NOW)


def test_the_scopes_are_a_closed_set() -> None:
    assert SCOPES == ("score", "report", "verdict", "events:read", "events:export", "admin")
