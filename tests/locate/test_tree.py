"""Our own walk through MaxMind-format files gives what MaxMind's reader gives, and survives what it does not."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import maxminddb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdb_writer import MmdbF32, MMDBWriter, TreeWriter
from netaddr import IPSet

from riskengine.locate.address import number, plain
from riskengine.locate.atlas import halves
from riskengine.locate.database import CITY, Database
from riskengine.locate.decode import decode
from riskengine.locate.tree import Tree
from tests.fixtures_geo import write_db

Network = IPv4Network | IPv6Network


class Wide(TreeWriter):
    """Writes records of a chosen width: small files have 24 bits of their own accord."""

    bits = 24

    def _adjust_record_size(self) -> None:
        self.record_size = self.bits
        self.data_offset = self.bits * 2 / 8 * self._node_counter


def write(path: Path, networks: list[Network], version: int, bits: int) -> None:
    writer = MMDBWriter(version, "My-City", ["en"], "a test", ipv4_compatible=version == 6)
    for at, network in enumerate(sorted(networks, key=lambda one: one.prefixlen)):
        writer.insert_network(IPSet([str(network)]), {"city": f"city {at}", "place": {"at": at}})
    tree = Wide(writer.tree, writer._build_meta())
    tree.bits = bits
    tree.write(str(path))


def networks(version: int, base: str, low: int, high: int) -> st.SearchStrategy[Network]:
    return st.builds(
        lambda address, length: ip_network((int(address), length), strict=False),
        st.ip_addresses(v=version, network=base),  # type: ignore[arg-type]
        st.integers(low, high),
    ).map(lambda found: ip_network(str(found)))


V4, V6 = networks(4, "192.0.0.0/14", 16, 32), networks(6, "2001:db8::/32", 34, 128)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    inside=st.lists(V4, min_size=1, max_size=8),
    beside=st.lists(V6, max_size=8),
    others=st.lists(V4 | V6, max_size=8),
    version=st.sampled_from([4, 6]),
    bits=st.sampled_from([24, 28, 32]),
)
def test_every_address_gets_the_record_and_prefix_that_maxmind_s_reader_gives(
    tmp_path: Path, inside: list[Network], beside: list[Network], others: list[Network], version: int, bits: int
) -> None:
    path = tmp_path / "city.mmdb"
    path.unlink(missing_ok=True)
    held = inside + beside if version == 6 else inside
    write(path, held, version, bits)
    file = Database(path, CITY)
    asked = [
        *(str(network.network_address) for network in inside + beside + others),
        *(str(network.broadcast_address) for network in inside + beside + others),
        *("0.0.0.0", "255.255.255.255", "::", "ffff:ffff::", "192.0.0.0", "2001:db8::1"),  # noqa: S104
    ]
    values = [value for value in map(number, asked) if value is not None]
    answers = file.ask(*halves(values))
    with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
        for value, prefix in zip(values, answers.prefix, strict=True):
            if version == 4 and ":" in plain(value):
                assert file.record(*halves([value])) is None
                continue
            record, length = reader.get_with_prefix_len(plain(value))
            assert file.record(*halves([value])) == record
            if ":" in plain(value) or length:
                assert prefix == length


@pytest.mark.parametrize("bits", [24, 28, 32])
def test_each_width_of_record_is_read(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "city.mmdb"
    write(path, [ip_network("192.0.2.0/24"), ip_network("192.0.2.128/25")], 6, bits)
    with maxminddb.open_database(path) as reader:
        assert reader.metadata().record_size == bits
    values = [number("192.0.2.1"), number("192.0.2.129"), number("198.51.100.1")]
    found = Database(path, CITY).ask(*halves([value for value in values if value is not None]))
    assert found.prefix[:2] == [25, 25]
    assert found.found[2] is None


@pytest.mark.parametrize(("nodes", "bits", "version"), [(0, 24, 4), (1, 25, 4), (1, 24, 5), (9, 24, 4)])
def test_a_header_that_does_not_fit_is_refused(nodes: int, bits: int, version: int) -> None:
    with pytest.raises(ValueError, match=r"its (header makes no sense|tree is cut off)"):
        Tree(np.zeros(60, np.uint8), nodes, bits, version)


def test_a_tree_that_runs_in_circles_ends() -> None:
    tree = Tree(np.zeros(60, np.uint8), 1, 24, 4)  # both records point back to the root
    leaves = tree.find(*halves([number("192.0.2.1") or 0]))
    assert (leaves.offset.tolist(), leaves.prefix.tolist()) == ([-1], [128])


EVERYTHING: dict[str, Any] = {
    "text": "Köln",
    "long": "x" * 70_000,
    "medium": "y" * 300,
    "double": -73.5,
    "float": MmdbF32(0.5),
    "bytes": b"\0\xff",
    "small": 7,
    "word": 70_000,
    "quad": 2**40,
    "huge": 2**100,
    "minus": -5,
    "list": [1, [2, {"three": 3}], []],
    "yes": True,
    "no": False,
    "empty": {},
}


def test_every_type_of_value_is_read_as_maxmind_s_reader_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_db(path, {"192.0.2.0/24": EVERYTHING, "198.51.100.0/24": {"again": EVERYTHING}}, "My-City")
    file = Database(path, CITY)
    with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
        for address in ("192.0.2.1", "198.51.100.1"):
            record = file.record(*halves([number(address) or 0]))
            assert record == reader.get(address)
            assert not file.damaged


@given(st.binary(max_size=80), st.integers(0, 90))
def test_any_bytes_decode_or_are_refused(raw: bytes, offset: int) -> None:
    try:
        decode(raw, 0, offset)
    except ValueError:
        return


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x20\x00", id="a_pointer_to_itself"),
        pytest.param(b"\xe1\x20\x00", id="a_map_that_is_its_own_key"),
        pytest.param(b"\xe1\xa0\x41x", id="a_key_that_is_a_number"),
        pytest.param(b"\xff\xff\xff\xff" + b"\x40" * 9000, id="sixteen_million_entries"),
        pytest.param(b"\x1f\x04\xff\xff\xff" + b"\x40" * 9000, id="a_list_of_sixteen_million"),
        pytest.param(b"\x42\xff\xff", id="text_that_is_not_utf_8"),
        pytest.param(b"\x67\x00\x00", id="a_double_of_seven_bytes"),
        pytest.param(b"\x5f", id="a_size_that_is_cut_off"),
        pytest.param(b"\x38\xff\xff\xff\xff", id="a_pointer_beyond_the_end"),
        pytest.param(b"\x00\x7f", id="a_type_that_does_not_exist"),
    ],
)
def test_damage_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(raw, 0, 0)


def test_a_key_that_is_not_text_costs_the_record_only(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_db(path, {"192.0.2.0/24": {"zebra": 1}, "198.51.100.0/24": {"city": {"names": {"en": "Tokyo"}}}}, "My-City")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"\x45zebra")] = 0xA5 - 1  # the key is an unsigned integer now: MaxMind's C reader crashes on it
    path.unlink()
    path.write_bytes(bytes(raw))
    file = Database(path, CITY)
    answers = file.ask(*halves([number("192.0.2.1") or 0, number("198.51.100.1") or 0]))
    assert answers.found[0] is None
    assert answers.found[1] is not None
    assert answers.found[1].city == "Tokyo"
    assert file.damaged


def test_a_record_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_db(path, {"192.0.2.0/25": {"city": "a"}, "198.51.100.0/25": {"city": "a"}}, "My-City")
    file = Database(path, CITY)
    one, other = file.ask(*halves([number("192.0.2.1") or 0, number("198.51.100.1") or 0])).found
    assert one is other is not None
