"""A store of each kind with a crowd of logins, and the questions asked of it."""


import pytest

from riskengine.audit import Audit
from riskengine.inquiry.inquiry import Inquiry
from riskengine.seal import Seal
from riskengine.store.sql import SqlStore
from tests.inquiry.events import BEGIN_MS, HOUR_MS, crowd, save

NOW = BEGIN_MS + 100 * HOUR_MS
CROWD = crowd(300)
OTHERS = crowd(100, "other", 1_000, seed=2)


@pytest.fixture
def empty(sql_store: SqlStore, seal: Seal) -> Inquiry:
    return Inquiry(sql_store, seal, Audit(sql_store, seal), lambda: NOW)


@pytest.fixture
def inquiry(empty: Inquiry, sql_store: SqlStore, seal: Seal) -> Inquiry:
    """Questions to a store with CROWD in realm default and OTHERS in realm other."""
    save(sql_store, seal, CROWD + OTHERS)
    return empty
