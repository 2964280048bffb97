"""New geolocation files are taken up, but not those that move more of the world than an edition does."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from riskengine.locate.address import number
from riskengine.locate.atlas import halves
from riskengine.locate.database import CITY, Database
from riskengine.locate.held import ACCEPTED, note_of, write
from riskengine.locate.locator import Locator
from riskengine.locate.movement import MOST_MOVED, Movement, movement
from riskengine.locate.status import status
from tests.fixtures_geo import LISBON, LONDON, NEW_YORK, TOKYO, WORLD, Record, write_city_db, write_flat_db

# 64 networks, so that a share of them is a share of the sample.
NETWORKS = [f"{20 + number}.0.0.0/8" for number in range(64)]
NEAR: Record = {**NEW_YORK, "city": "Jersey City", "longitude": -74.08}


def moved(path: Path, share: float, to: Record) -> Path:
    """Write a city file in which a share of the networks is at `to` and the others in New York."""
    count = round(share * len(NETWORKS))
    fresh = path.with_suffix(".fresh")
    write_city_db(fresh, {net: to if at < count else NEW_YORK for at, net in enumerate(NETWORKS)})
    fresh.replace(path)
    return path


@pytest.mark.parametrize("version", [4, 6])
def test_a_sample_is_of_addresses_that_the_file_knows_and_always_the_same(tmp_path: Path, version: int) -> None:
    path = tmp_path / "city.mmdb"
    known: Mapping[str, Record] = {net: place for net, place in WORLD.items() if (":" in net) == (version == 6)}
    write_flat_db(path, known, 4 if version == 4 else 6)
    file = Database(path, CITY)
    high, low = file.sample(300)
    assert len(high) == 300
    assert None not in file.ask(high, low).found
    assert len({(spot.city, spot.country) for spot in file.ask(high, low).found if spot}) == len(
        {(place["city"], place["country"]) for place in known.values()}
    ), "every place is met"
    again = Database(path, CITY).sample(300)
    assert np.array_equal(high, again[0])
    assert np.array_equal(low, again[1])


def test_a_file_with_both_kinds_of_address_gives_both(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_city_db(path, WORLD)
    file = Database(path, CITY)
    high, low = file.sample(300)
    assert 100 < np.count_nonzero(high == 0) < 200
    assert None not in file.ask(high, low).found
    v4, v6 = (halves([number(text) or 0]) for text in ("192.0.0.0", "2001:db8::"))
    assert (low[high == 0] >> np.uint64(32) == v4[1] >> np.uint64(32)).all()
    assert (high[high > 0] >> np.uint64(32) == v6[0] >> np.uint64(32)).all()


def test_a_file_that_knows_nothing_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    write_flat_db(path, {"2001:db8::/32": {}}, 6)
    assert len(Database(path, CITY).sample(10)[0]) == 10
    write_city_db(tmp_path / "other.mmdb", {"20.0.0.0/8": {}})
    assert movement([Database(tmp_path / "other.mmdb", CITY)], []) == Movement(0, 0), "unknown cannot move"


@pytest.mark.parametrize(
    ("to", "moves"),
    [
        pytest.param(NEAR, False, id="a_few_kilometres"),
        pytest.param({**NEW_YORK, "latitude": 45.1}, False, id="488_km"),
        pytest.param({**NEW_YORK, "latitude": 45.3}, True, id="510_km"),
        pytest.param({**NEAR, "country": "CA"}, True, id="another_country"),
        pytest.param({"country": "US"}, False, id="a_place_no_more_but_the_country"),
        pytest.param({"country": "CA"}, True, id="another_country_without_a_place"),
        pytest.param({}, True, id="nowhere"),
    ],
)
def test_what_counts_as_moved(tmp_path: Path, to: Record, moves: bool) -> None:
    old, new = tmp_path / "old.mmdb", tmp_path / "new.mmdb"
    found = movement([Database(moved(old, 0, to), CITY)], [Database(moved(new, 1, to), CITY)])
    assert found.sampled > 3_000
    assert found.moved == (found.sampled if moves else 0)


def test_the_share_is_that_of_the_networks(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mmdb", tmp_path / "new.mmdb"
    found = movement([Database(moved(old, 0, TOKYO), CITY)], [Database(moved(new, 0.25, TOKYO), CITY)])
    assert found.share() == pytest.approx(0.25, abs=0.12)


def test_an_implausible_file_is_held_back_until_it_is_accepted(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "city.mmdb"
    locator = Locator.open(home, moved(path, 0, TOKYO))
    moved(path, 0.6, TOKYO)
    for _ in range(2):
        assert not locator.reload()
        assert locator.locate(["20.0.0.1"]).labels[0].city == "New York"
    says = locator.held()
    assert says is not None
    assert "would move" in says
    assert status(home, path).warnings[0] == says
    write(home, ACCEPTED, note_of([path], "accepted"))
    assert locator.reload()
    assert locator.locate(["20.0.0.1"]).labels[0].city == "Tokyo"
    assert locator.held() is None
    assert says not in status(home, path).warnings


def test_a_plausible_file_takes_the_place_of_one_that_is_held_back(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "city.mmdb"
    locator = Locator.open(home, moved(path, 0, TOKYO))
    moved(path, 0.6, LONDON)
    assert not locator.reload()
    moved(path, 1.0, NEAR)
    assert locator.reload()
    assert locator.held() is None
    assert locator.locate(["20.0.0.1"]).labels[0].city == "Jersey City"
    assert "would move" not in " ".join(status(home, path).warnings)


def test_what_was_accepted_is_that_file_and_no_later_one(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "city.mmdb"
    locator = Locator.open(home, moved(path, 0, TOKYO))
    moved(path, 1.0, TOKYO)
    write(home, ACCEPTED, note_of([path], "accepted"))
    assert locator.reload()
    moved(path, 1.0, LISBON)
    assert not locator.reload()
    assert MOST_MOVED < 1.0


def test_without_a_home_a_file_is_held_back_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    locator = Locator.open(None, moved(path, 0, TOKYO))
    moved(path, 1.0, TOKYO)
    assert not locator.reload()
    assert locator.held() is not None
