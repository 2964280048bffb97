"""What runs the revisions: on the connection that `riskengine db upgrade` holds, or on `alembic -x url=…`."""

import contextlib
from collections.abc import Iterator

from alembic import context
from sqlalchemy import Connection, create_engine

from riskengine.store.partitions import is_partition
from riskengine.store.tables import METADATA


@contextlib.contextmanager
def connected() -> Iterator[Connection]:
    """Yield the connection that was handed over, or our own to the database named on the command line."""
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:
        yield given
        return
    url = context.get_x_argument(as_dictionary=True).get("url")
    if url is None:
        raise SystemExit("name the database: alembic -x url=sqlite:///FILE …")
    with create_engine(url).begin() as connection:
        yield connection


if context.is_offline_mode():
    raise SystemExit("migrations run on a database, not into a file of SQL")
with connected() as connection:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=True,
        include_name=lambda name, kind, _parents: kind != "table" or not is_partition(name or ""),
    )
    with context.begin_transaction():
        context.run_migrations()
