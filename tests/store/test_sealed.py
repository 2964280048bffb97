"""The table of what is sealed: it is whole, and rows are found and replaced by it."""

import pytest
from sqlalchemy import LargeBinary

from riskengine.store.sealed import CLEAR, DIGESTS, SEALED
from riskengine.store.tables import METADATA

BYTES = [column for table in METADATA.sorted_tables for column in table.columns if isinstance(column.type, LargeBinary)]


@pytest.mark.parametrize("column", BYTES, ids=str)
def test_every_column_of_bytes_is_sealed_or_a_digest_or_clear(column: object) -> None:
    """A sealed column that is in none of these would lose its key at the next `riskengine keys retire`."""
    listed = [*(one.column for one in SEALED), *DIGESTS, *CLEAR]

    assert [str(one) for one in listed].count(str(column)) == 1


@pytest.mark.parametrize("one", SEALED, ids=lambda one: one.says)
def test_every_sealed_row_says_whose_realm_it_is(one: object) -> None:
    assert ("realm" in one.table.columns) == (one.realm is None)  # type: ignore[attr-defined]
