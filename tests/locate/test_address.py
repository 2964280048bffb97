"""Which addresses can be somewhere."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.locate.address import MAPPED, Scope, is_v4, number, plain, scope


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1", "172.16.0.1"),  # noqa: S104
        *("172.31.255.255", "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1"),
        *("fd00::1", "fe80::1", "fec0::1", "ff02::1", "100::1", "64:ff9b:1::1", "::ffff:10.0.0.1"),
    ],
)
def test_private_and_reserved_addresses_are_nowhere(text: str) -> None:
    value = number(text)
    assert value is not None
    assert scope(value) is Scope.PRIVATE


@pytest.mark.parametrize(
    "text", ["192.0.2.1", "198.51.100.255", "203.0.113.0", "2001:db8::1", "3fff::1", "::ffff:192.0.2.1"]
)
def test_documentation_addresses_are_told_apart(text: str) -> None:
    value = number(text)
    assert value is not None
    assert scope(value) is Scope.DOCUMENTATION


@pytest.mark.parametrize(
    "text",
    [
        *("9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0"),
        *("192.0.1.255", "192.0.3.0", "223.255.255.255", "2001:db7::1", "2001:db9::", "2600::1"),
    ],
)
def test_their_neighbours_are_public(text: str) -> None:
    value = number(text)
    assert value is not None
    assert scope(value) is Scope.PUBLIC


@pytest.mark.parametrize("text", ["banana", "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", ":::", "1\0", "é"])
def test_what_is_no_address_has_no_number(text: str) -> None:
    assert number(text) is None


@given(st.ip_addresses())
def test_every_address_keeps_its_identity(address: IPv4Address | IPv6Address) -> None:
    value = number(str(address))
    base = MAPPED if address.version == 4 else 0
    assert value == base + int(address)
    if is_v4(value):
        assert plain(value) == str(ip_address(value - MAPPED))
    else:
        assert ip_address(plain(value)) == address
