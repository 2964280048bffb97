"""Sealing: what is sealed opens only where and by whom it should, and look-ups reveal only equality."""

import json
import os
import stat
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from riskengine.errors import InvalidInput, SealKeyError
from riskengine.seal import Keys, Seal, SealBroken

KEYS = Keys.generate()
SEAL = Seal(KEYS)
ROWS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=20))
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def test_a_key_file_is_read_back_as_written(tmp_path: Path) -> None:
    KEYS.write(tmp_path / "keys" / "seal.json")

    assert Keys.read(tmp_path / "keys" / "seal.json") == KEYS


def test_a_key_file_is_its_owners_alone_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    mask = os.umask(0)
    KEYS.write(tmp_path / "keys" / "seal.json")
    os.umask(mask)

    assert stat.S_IMODE((tmp_path / "keys" / "seal.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["seal.json"]


def test_a_key_file_has_the_documented_shape(tmp_path: Path) -> None:
    KEYS.write(tmp_path / "seal.json")

    content = json.loads((tmp_path / "seal.json").read_text())

    assert set(content) == {"version", "index", "current", "seal"}
    assert content["version"] == 1
    assert list(content["seal"]) == [content["current"]]


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "seal.json").write_text("precious")

    with pytest.raises(SealKeyError, match=r"seal\.json exists already"):
        KEYS.write(tmp_path / "seal.json")

    assert (tmp_path / "seal.json").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["seal.json"]


def test_a_key_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SealKeyError, match=r"seal\.json cannot be written"):
        KEYS.write(tmp_path / "file" / "seal.json")


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SealKeyError, match=r"none\.json does not exist"):
        Keys.read(tmp_path / "none.json")


def test_an_unreadable_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SealKeyError, match="cannot be read"):
        Keys.read(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    KEYS.write(tmp_path / "seal.json")
    (tmp_path / "seal.json").chmod(mode)

    with pytest.raises(SealKeyError, match=r"seal\.json is open to other users"):
        Keys.read(tmp_path / "seal.json")


_GOOD = "A" * 43 + "="


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("\xff", id="not_json"),
        pytest.param("[]", id="a_list"),
        pytest.param("{}", id="nothing_in_it"),
        pytest.param({"version": 2}, id="another_version"),
        pytest.param({"version": True}, id="a_version_that_is_no_number"),
        pytest.param({"index": "AAAA"}, id="a_short_key"),
        pytest.param({"index": "!" * 44}, id="a_key_that_is_not_base64"),
        pytest.param({"index": 5}, id="a_key_that_is_no_text"),
        pytest.param({"seal": {}}, id="no_sealing_key"),
        pytest.param({"seal": [_GOOD]}, id="sealing_keys_without_ids"),
        pytest.param({"current": "ffffffff"}, id="a_current_key_that_is_not_there"),
        pytest.param({"current": "short", "seal": {"short": _GOOD}}, id="an_id_that_is_not_hex"),
        pytest.param({"current": "aabb", "seal": {"aabb": _GOOD}}, id="an_id_that_is_too_short"),
    ],
)
def test_a_malformed_key_file_is_named_without_its_content(tmp_path: Path, content: str | dict[str, Any]) -> None:
    whole = {"version": 1, "index": _GOOD, "current": "00000001", "seal": {"00000001": _GOOD}}
    path = tmp_path / "seal.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(whole | content) if isinstance(content, dict) else content, "latin-1")

    with pytest.raises(SealKeyError, match=r"seal\.json is not a riskengine key file") as refusal:
        Keys.read(path)

    assert refusal.value.__cause__ is None


def test_keys_do_not_show_in_their_repr() -> None:
    assert repr(KEYS) == f"Keys(current='{KEYS.current}')"


@given(plain=st.binary(max_size=600), realm=NAMES, table=NAMES, row=ROWS)
def test_what_is_sealed_opens_in_its_place(plain: bytes, realm: str, table: str, row: bytes | int) -> None:
    assert SEAL.open(SEAL.seal(plain, realm, table, row), realm, table, row) == plain


@given(first=st.tuples(NAMES, NAMES, ROWS), other=st.tuples(NAMES, NAMES, ROWS))
def test_what_is_sealed_opens_in_no_other_place(
    first: tuple[str, str, bytes | int], other: tuple[str, str, bytes | int]
) -> None:
    sealed = SEAL.seal(b"plain", *first)

    if first == other:
        assert SEAL.open(sealed, *other) == b"plain"
    else:
        with pytest.raises(SealBroken):
            SEAL.open(sealed, *other)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("ab", "c", 1), id="a_letter_moved_to_the_realm"),
        pytest.param(("a", "bc", (1).to_bytes(8)), id="bytes_for_a_number"),
        pytest.param(("a", "bci", 1), id="a_longer_table"),
        pytest.param(("b", "bc", 1), id="another_realm"),
        pytest.param(("a", "bc", 2), id="another_row"),
    ],
)
def test_places_that_read_alike_are_told_apart(other: tuple[str, str, bytes | int]) -> None:
    with pytest.raises(SealBroken):
        SEAL.open(SEAL.seal(b"plain", "a", "bc", 1), *other)


def test_any_changed_byte_is_noticed() -> None:
    sealed = SEAL.seal(b"plain", "default", "raw", 1)

    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises((SealBroken, SealKeyError)):
            SEAL.open(changed, "default", "raw", 1)


@pytest.mark.parametrize("length", [0, 1, 5, 17, 32, 37])
def test_what_is_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(SealBroken):
        SEAL.open(SEAL.seal(b"plain", "default", "raw", 1)[:length], "default", "raw", 1)


def test_the_layout_is_schema_key_id_nonce_and_ciphertext() -> None:
    sealed = SEAL.seal(b"plain", "default", "raw", 1)

    assert sealed[0] == 1
    assert sealed[1:5].hex() == KEYS.current
    assert len(sealed) == 1 + 4 + 12 + len(b"plain") + 16


def test_the_same_is_never_sealed_alike() -> None:
    assert len({SEAL.seal(b"plain", "default", "raw", 1) for _ in range(100)}) == 100


def test_what_another_key_sealed_is_a_matter_of_keys() -> None:
    with pytest.raises(SealKeyError, match="raw"):
        Seal(Keys.generate()).open(SEAL.seal(b"plain", "default", "raw", 1), "default", "raw", 1)


def test_a_replaced_key_still_opens_what_it_sealed() -> None:
    replaced = Keys("00000002", KEYS.index, {**KEYS.seal, "00000002": b"2" * 32})

    assert Seal(replaced).open(SEAL.seal(b"old", "default", "raw", 1), "default", "raw", 1) == b"old"
    assert Seal(replaced).seal(b"new", "default", "raw", 1)[1:5].hex() == "00000002"


def test_a_blind_index_is_equal_for_equals_only() -> None:
    indexes = [
        SEAL.index("default", "user", "alice"),
        SEAL.index("default", "user", "bob"),
        SEAL.index("default", "login", "alice"),
        SEAL.index("acme", "user", "alice"),
        SEAL.index("defaulta", "user", "lice"),
        Seal(Keys.generate()).index("default", "user", "alice"),
    ]

    assert len(set(indexes)) == len(indexes)
    assert {len(index) for index in indexes} == {16}
    assert Seal(KEYS).index("default", "user", "alice") == indexes[0]


def test_a_blind_index_survives_a_new_sealing_key() -> None:
    replaced = Keys("00000002", KEYS.index, {"00000002": b"2" * 32})

    assert Seal(replaced).index("default", "user", "alice") == SEAL.index("default", "user", "alice")


@given(value=NAMES)
def test_number_keys_fit_their_columns_and_are_never_zero(value: str) -> None:
    assert 0 < SEAL.key32("default", "device", value) < 2**32
    assert 0 < SEAL.key64("default", "device", value) < 2**64


def test_ids_that_begin_alike_lie_near_each_other() -> None:
    count = [SEAL.near_index("default", "event", f"run-1234-{number:08x}") for number in range(512)]
    assert len({index[:6] for index in count}) == 2, "256 that differ in the last two digits lie together"
    times = [SEAL.near_index("default", "event", f"0190f3a2-1c2{number:x}-7abc-{number:04x}") for number in range(16)]
    assert len({index[:4] for index in times}) == 1, "16 ms of UUIDv7 lie together"
    other = SEAL.near_index("default", "event", "run-9999-00000001")
    assert all(other[:2] != index[:2] for index in count)


def test_a_near_index_tells_values_realms_and_keys_apart() -> None:
    values = ["", "a", "ab", "abc", "abd", "x" * 8, "x" * 9, "x" * 128]
    indexes = [SEAL.near_index("default", "event", value) for value in values]
    indexes += [SEAL.near_index("acme", "event", "abc"), Seal(Keys.generate()).near_index("default", "event", "abc")]
    assert len({index[6:] for index in indexes}) == len(values) + 2
    assert all(len(index) == 16 for index in indexes)
    assert SEAL.near_index("default", "event", "abc") == indexes[3]


def test_number_keys_tell_nothing_of_the_index() -> None:
    index = SEAL.index("default", "device", "phone")

    assert SEAL.key32("default", "device", "phone") != int.from_bytes(index[:4])
    assert SEAL.key64("default", "device", "phone") != int.from_bytes(index[:8])


def shared(one: str, other: str) -> int:
    """Return how many leading tokens two addresses have in common."""
    first, second = SEAL.address_index("default", one), SEAL.address_index("default", other)
    return next((at // 4 for at in range(0, 16, 4) if first[at : at + 4] != second[at : at + 4]), 4)


@pytest.mark.parametrize(
    ("one", "other", "tokens"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", 4, id="same_ipv4"),
        pytest.param("192.0.2.1", "192.0.2.2", 3, id="same_24"),
        pytest.param("192.0.2.1", "192.0.3.1", 2, id="same_16"),
        pytest.param("192.0.2.1", "192.1.2.1", 1, id="same_8"),
        pytest.param("192.0.2.1", "193.0.2.1", 0, id="other_8"),
        pytest.param("2001:db8:1:1::1", "2001:db8:1:1::2", 3, id="same_64"),
        pytest.param("2001:db8:1:1::1", "2001:db8:1:2::1", 2, id="same_48"),
        pytest.param("2001:db8:1:1::1", "2001:db8:2:1::1", 1, id="same_32"),
        pytest.param("2001:db8:1:1::1", "2001:db9:1:1::1", 0, id="other_32"),
    ],
)
def test_addresses_share_a_token_for_each_prefix_they_share(one: str, other: str, tokens: int) -> None:
    assert shared(one, other) == tokens


def test_a_token_hangs_on_all_that_comes_before_it() -> None:
    one, other = (SEAL.address_index("default", ip) for ip in ("192.0.2.1", "198.0.2.1"))

    assert all(one[at : at + 4] != other[at : at + 4] for at in range(0, 16, 4))


@given(address=st.ip_addresses(), length=st.integers(0, 128))
def test_the_range_of_a_network_holds_every_address_in_it(address: Any, length: int) -> None:
    network = ip_network((address, min(length, address.max_prefixlen)), strict=False)
    # Events spell an IPv4 address inside IPv6 as what it is; it belongs to no wider IPv6 network.
    mapped = address.ipv4_mapped if address.version == 6 else None
    assume(mapped is None or length >= 96)
    low, high = SEAL.address_range("default", str(network))

    assert low <= SEAL.address_index("default", str(mapped or address)) <= high
    assert len(low) == len(high) == 16


@pytest.mark.parametrize(
    ("cidr", "ip", "within"),
    [
        pytest.param("192.0.2.0/24", "192.0.2.200", True, id="in_24"),
        pytest.param("192.0.2.0/24", "192.0.3.200", False, id="beside_24"),
        pytest.param("192.0.2.0/20", "192.0.200.1", True, id="20_is_looked_up_as_16"),
        pytest.param("192.0.2.0/20", "192.1.2.1", False, id="beside_16"),
        pytest.param("0.0.0.0/0", "203.0.113.1", True, id="everything"),
        pytest.param("192.0.2.1", "192.0.2.1", True, id="one_address"),
        pytest.param("192.0.2.1", "192.0.2.2", False, id="beside_one_address"),
        pytest.param("2001:db8:1::/48", "2001:db8:1:9::9", True, id="in_48"),
        pytest.param("2001:db8:1::/48", "2001:db8:2:9::9", False, id="beside_48"),
        pytest.param("2001:db8:1::/56", "2001:db8:1:ff00::9", True, id="56_is_looked_up_as_48"),
        pytest.param("::ffff:192.0.2.0/120", "192.0.2.7", True, id="ipv4_inside_ipv6"),
    ],
)
def test_the_range_of_a_network_leaves_the_others_out(cidr: str, ip: str, within: bool) -> None:
    low, high = SEAL.address_range("default", cidr)

    assert (low <= SEAL.address_index("default", ip) <= high) is within


@pytest.mark.parametrize("cidr", ["", "banana", "192.0.2.0/33", "2001:db8::/129"])
def test_what_is_not_a_network_is_refused(cidr: str) -> None:
    with pytest.raises(InvalidInput):
        SEAL.address_range("default", cidr)


def test_the_right_keys_pass_the_check() -> None:
    Seal(KEYS).verify_check(SEAL.check_value())


def test_the_check_reveals_no_key() -> None:
    value = SEAL.check_value()

    assert KEYS.index[:4] not in value
    assert KEYS.seal[KEYS.current][:4] not in value


def test_a_key_replaced_since_still_passes_the_check() -> None:
    replaced = Keys("00000002", KEYS.index, {**KEYS.seal, "00000002": b"2" * 32})

    Seal(replaced).verify_check(SEAL.check_value())


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(Keys.generate(), id="other_keys"),
        pytest.param(Keys(KEYS.current, b"x" * 32, KEYS.seal), id="another_index_key"),
        pytest.param(Keys(KEYS.current, KEYS.index, {KEYS.current: b"x" * 32}), id="another_sealing_key"),
        pytest.param(Keys("00000002", KEYS.index, {"00000002": b"2" * 32}), id="the_sealing_key_is_gone"),
    ],
)
def test_wrong_keys_fail_the_check(keys: Keys) -> None:
    with pytest.raises(SealKeyError):
        Seal(keys).verify_check(SEAL.check_value())


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01", id="one_byte"),
        pytest.param(SEAL.check_value()[:-1], id="cut_short"),
        pytest.param(SEAL.check_value() + b"x", id="too_long"),
    ],
)
def test_a_damaged_check_value_fails(value: bytes) -> None:
    with pytest.raises(SealKeyError):
        SEAL.verify_check(value)
