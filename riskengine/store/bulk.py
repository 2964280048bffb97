"""The verdicts that were given together; whoever calls holds the connection."""

from sqlalchemy import Connection, func, select

from riskengine.event import VERDICTS
from riskengine.store.contract import ReportRow
from riskengine.store.tables import REPORTS


def given(connection: Connection, realm: str, bulk: str, after: int, most: int) -> list[ReportRow]:
    """Return the next verdicts of one bulk after a row id."""
    wanted = select(REPORTS).where(REPORTS.c.bulk == bulk, REPORTS.c.id > after, REPORTS.c.realm == realm)
    ordered = wanted.where(REPORTS.c.result.in_(VERDICTS)).order_by(REPORTS.c.id).limit(most)
    return [ReportRow(*row) for row in connection.execute(ordered)]


def count(connection: Connection, realm: str, bulk: str) -> int:
    """Return how many verdicts one bulk has given."""
    mine = (REPORTS.c.bulk == bulk) & (REPORTS.c.realm == realm) & REPORTS.c.result.in_(VERDICTS)
    return connection.scalar(select(func.count()).select_from(REPORTS).where(mine)) or 0
