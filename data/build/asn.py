"""Make data/asn.npz and data/LICENSE-asn.txt from Debian's libloc-database package (IPFire Location).

    apt-get download libloc-database
    python data/build/asn.py libloc-database_0~20221029-1_all.deb

The format of location.db (version 1, big-endian): magic `LOCDBXX` and a version byte; a header of creation
time and offsets; AS records (number, name); a binary tree of nodes (zero child, one child, network or
none), IPv4 below ::ffff:0:0/96; network records (country, ASN, flags); a pool of NUL-terminated strings. A
child of 0 is no child.
"""

import csv
import io
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATA = Path(__file__).parents[1]
DATABASE = "./usr/share/libloc-location/location.db"
LICENCE = "./usr/share/doc/libloc-database/copyright"
MAGIC = b"LOCDBXX\x01"
NONE = 0xFFFFFFFF
HEADER = struct.Struct(">Q13I")
NETWORK = np.dtype(
    [("country", "S2"), ("", "V2"), ("asn", ">u4"), ("flags", ">u2"), ("pad", "V2")]
)  # fmt: skip
MAPPED_DEPTH = 96  # IPv4 lies below ::ffff:0:0/96
V6_BITS = 48  # no IPv6 prefix of the source is longer; checked below


class Location(NamedTuple):
    """The parts of location.db: creation time, AS numbers and names, tree, network records."""

    created: int
    numbers: np.ndarray
    names: list[bytes]
    tree: np.ndarray
    networks: np.ndarray


class Ranges(NamedTuple):
    """Sorted starts of ranges that cover the whole space, and the network of each (-1 for none)."""

    start: np.ndarray
    network: np.ndarray


def unpack(package: Path) -> tuple[bytes, str]:
    """Return location.db and the licence text out of a Debian package (an ar archive that holds a tar)."""
    raw = package.read_bytes()
    if not raw.startswith(b"!<arch>\n"):
        raise SystemExit(f"{package} is not a Debian package")
    at = 8
    while at < len(raw):
        name = raw[at : at + 16].strip().rstrip(b"/").decode()
        size = int(raw[at + 48 : at + 58])
        at += 60
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(raw[at : at + size])) as tar:
                database, licence = (tar.extractfile(member) for member in (DATABASE, LICENCE))
                assert database
                assert licence
                return database.read(), licence.read().decode()
        at += size + size % 2
    raise SystemExit(f"{package} holds no data")


def read(raw: bytes) -> Location:
    """Return the parts of a location.db."""
    if not raw.startswith(MAGIC):
        raise SystemExit("location.db is not of format version 1")
    created, _, _, _, as_at, as_size, nets, nets_size, tree, tree_size, _, _, pool, pool_size = HEADER.unpack_from(
        raw, len(MAGIC)
    )
    strings = raw[pool : pool + pool_size]
    systems = np.frombuffer(raw, ">u4", as_size // 4, as_at).reshape(-1, 2)
    return Location(
        created,
        systems[:, 0].astype(np.uint32),
        [strings[at : strings.index(b"\0", at)] for at in systems[:, 1].tolist()],
        np.frombuffer(raw, ">u4", tree_size // 4, tree).reshape(-1, 3).astype(np.int64),
        np.frombuffer(raw, NETWORK, nets_size // NETWORK.itemsize, nets),
    )


def mapped_root(tree: np.ndarray) -> int:
    """Return the node of ::ffff:0:0/96."""
    node = 0
    for depth in range(MAPPED_DEPTH):
        node = int(tree[node, 1 if depth >= 80 else 0])
    return node


def ranges(tree: np.ndarray, root: int, bits: int, skip: int) -> Ranges:
    """Return the ranges below `root`, the most specific network winning, without the subtree `skip`."""
    node, start = np.array([root]), np.array([0], np.uint64)
    best = np.array([-1])
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    for depth in range(bits + 1):
        own = tree[node, 2]
        best = np.where(own == NONE, best, own)
        if depth == bits:
            deeper = tree[node, :2].any(axis=1)
            assert not (deeper & (node != skip)).any(), "a prefix is longer than expected"
            ends.append((start, best))
            break
        half = np.uint64(1 << (bits - depth - 1))
        child = tree[node, :2]
        leaf = ~child.any(axis=1)
        ends.append((start[leaf], best[leaf]))
        halves = np.stack([start, start + half], axis=1)[~leaf].ravel()
        child, best = child[~leaf].ravel(), np.repeat(best[~leaf], 2)
        ends.append((halves[child == 0], best[child == 0]))
        node, start, best = child[child != 0], halves[child != 0], best[child != 0]
    starts, networks = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    order = np.argsort(starts)
    return Ranges(starts[order], networks[order])


def known_countries() -> set[bytes]:
    """Return the codes of data/countries.csv: the registries' EU and AP are regions, not countries."""
    with (DATA / "countries.csv").open(encoding="utf-8", newline="") as file:
        return {row["country"].encode() for row in csv.DictReader(file)}


def merge(found: Ranges, networks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and (country, asn, flags) of ranges, neighbours that say the same made one."""
    countries = known_countries()
    real = np.isin(networks["country"], np.array(sorted(countries), "S2"))
    letters = np.where(real, networks["country"], b"").astype("S2")
    codes = np.zeros(len(networks), np.uint64)
    pairs = letters.view("u1").reshape(-1, 2).astype(np.uint64)
    codes = pairs[:, 0] << np.uint64(8) | pairs[:, 1]
    packed = codes << np.uint64(48) | networks["flags"].astype(np.uint64) << np.uint64(32)
    packed |= networks["asn"].astype(np.uint64)
    value = np.where(found.network < 0, np.uint64(0), packed[found.network])
    keep = np.r_[True, value[1:] != value[:-1]]
    return found.start[keep], value[keep]


def columns(location: Location) -> dict[str, np.ndarray]:
    """Return the arrays of asn.npz; riskengine/locate/asn.py documents them."""
    tree = location.tree
    mapped = mapped_root(tree)
    v4_start, v4_value = merge(ranges(tree, mapped, 32, -1), location.networks)
    v6_start, v6_value = merge(ranges(tree, 0, V6_BITS, int(_at_48(tree))), location.networks)
    values, rows = np.unique(np.concatenate([v4_value, v6_value]), return_inverse=True)
    used = np.isin(location.numbers, (values & np.uint64(NONE)).astype(np.uint32))
    names = [name for name, kept in zip(location.names, used.tolist(), strict=True) if kept]
    return {
        "created": np.array([location.created], np.int64),
        "v4_step": np.diff(v4_start.astype(np.uint32), prepend=np.uint32(0)),
        "v4_row": rows[: len(v4_value)].astype(np.uint32),
        "v6_step": np.diff(v6_start, prepend=np.uint64(0)),
        "v6_row": rows[len(v4_value) :].astype(np.uint32),
        "asn": (values & np.uint64(NONE)).astype(np.uint32),
        "flags": (values >> np.uint64(32) & np.uint64(0xFFFF)).astype(np.uint8),
        "country": (values >> np.uint64(48)).astype(np.uint16),
        "number": np.diff(location.numbers[used], prepend=np.uint32(0)),
        "names": np.frombuffer(b"\n".join(names), np.uint8),
    }


def _at_48(tree: np.ndarray) -> int:
    """Return the node of ::/48, below which IPv4 lies."""
    node = 0
    for _ in range(V6_BITS):
        node = int(tree[node, 0])
    return node


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a .npz of LZMA-compressed members with a fixed date: the same data is the same file."""
    with zipfile.ZipFile(path, "w") as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_LZMA
            file.writestr(info, member.getvalue())


def main() -> None:
    """Make both files from the package named on the command line."""
    database, licence = unpack(Path(sys.argv[1]))
    arrays = columns(read(database))
    for name, array in arrays.items():
        print(name, array.dtype, array.shape, array.max())
    save(DATA / "asn.npz", arrays)
    (DATA / "LICENSE-asn.txt").write_text(licence, encoding="utf-8")
    print((DATA / "asn.npz").stat().st_size)


if __name__ == "__main__":
    main()
