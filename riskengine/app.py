"""The composition root: settings → parts → the application. Nothing else knows how the parts fit together."""

import asyncio
import gc
import logging
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI

from riskengine import metrics
from riskengine.access.access import Access
from riskengine.access.clients import Clients
from riskengine.access.guesses import Guesses
from riskengine.access.keyring import Keyring
from riskengine.access.limits import Limits
from riskengine.access.mint import Mint
from riskengine.access.outside import Outside, Terms
from riskengine.access.published import Published
from riskengine.access.purse import Purse, new_secret
from riskengine.access.tokens import Tokens, new_signing_key
from riskengine.activation import Rulebook, read_file
from riskengine.api import blocks, events, health, manual, oauth, score, search
from riskengine.api import verdicts as verdicts_api
from riskengine.api.calls import Desk, Door
from riskengine.api.envelope import Envelope
from riskengine.api.problems import chain_of, install
from riskengine.assess import is_ready, ready
from riskengine.audit import Audit
from riskengine.blocklist import Blocklist, Watch
from riskengine.challenge import Challenges
from riskengine.compiled import FOLDER
from riskengine.console.office import Office
from riskengine.console.routes import ROUTES as PAGES
from riskengine.console.sessions import Sessions
from riskengine.engine.engine import Engine
from riskengine.errors import DataError, IssuerUnavailable, SealKeyError, SettingsError, StoreUnavailable
from riskengine.inquiry.inquiry import Inquiry
from riskengine.inquiry.rollup import Rollup
from riskengine.journal import Journal
from riskengine.keyring import LOSS, KeyFile, Keys, KeySource, source_of
from riskengine.live import DEADLINE_SECONDS, Live
from riskengine.locate.locator import Locator
from riskengine.metrics import GEO_HELD
from riskengine.policy.policy import Policy
from riskengine.seal import SEAL_CHECK, Seal
from riskengine.settings import Settings
from riskengine.store.contract import Store
from riskengine.store.lease import LEASE_SECONDS
from riskengine.store.schema import upgrade
from riskengine.store.sql import SqlStore
from riskengine.tracing import TracedRequests, Tracing, add_trace_id, start_tracing
from riskengine.upkeep.reindexing import REINDEX
from riskengine.upkeep.upkeep import Upkeep
from riskengine.verdicts import Verdicts

ROUTES = (
    *(*score.ROUTES, *search.ROUTES, *verdicts_api.ROUTES, *events.ROUTES, *blocks.ROUTES),
    *(*oauth.ROUTES, *health.ROUTES, *manual.ROUTES, *PAGES),
)
# How often a changed policy is, and blocks: one server takes up a file, then the others follow, within 5 s in all.
POLICY_SECONDS = 1.5
# How often a worker among several passes on what it counted: any of them may be asked for the sum.
COUNT_SECONDS = 1.0
# How often the store is kept in order; the first time soon after the start, processes started together one by one.
UPKEEP_SECONDS = 3600.0
# How often the keys of an outside issuer are looked at, and how often while it does not answer.
ISSUER_SECONDS = 300.0
ISSUER_RETRY_SECONDS = 30.0
# How often used tokens that have expired are forgotten, and signing keys learnt.
FORGET_SECONDS = 60.0
UPKEEP_FIRST_SECONDS = 60.0
# How often is looked whether events are to be counted.
STATISTICS_SECONDS = 10.0
# Loggers of libraries that speak at INFO of what nobody operates.
_QUIET = ("alembic", "asyncio", "sqlalchemy", "uvicorn")
_log = structlog.get_logger("riskengine.app")


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a serving process is made of."""

    store: SqlStore
    seal: Seal
    locator: Locator
    rulebook: Rulebook
    watch: Watch
    live: Live
    access: Access
    limits: Limits
    mint: Mint
    sessions: Sessions
    audit: Audit
    tracing: Tracing | None
    upkeep: Upkeep
    keys: KeySource

    def close(self) -> None:
        """Let go of what `assemble` opened, where nothing was started."""
        self.live.journal.close()
        self.store.close()


def clock() -> int:
    """Return the time in ms since 1970: the only place where a serving process reads it."""
    return time.time_ns() // 1_000_000


def make_home(settings: Settings) -> None:
    """Create the folders of home, private to their owner; those that exist stay as they are."""
    try:
        for folder in (settings.home, *(settings.home / name for name in ("data", "keys", "geo", "journal"))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"RISKENGINE_HOME {settings.home} cannot be used: {error.strerror}.") from error


def open_store(settings: Settings) -> SqlStore:
    """Open the database; the embedded one is created and migrated first, another one only by `db upgrade`.

    Raise StoreUnavailable when it cannot be reached or its schema is not current.
    """
    if settings.is_embedded:
        upgrade(settings.database_url)
    with ExitStack() as undo:
        store = SqlStore(settings.database_url)
        undo.callback(store.close)
        store.ping()
        undo.pop_all()
    return store


def open_seal(settings: Settings, store: Store) -> Seal:
    """Return the seal of this store, proved to be the one its data was sealed with; else raise SealKeyError.

    Keys are generated only for the embedded database and only while it is empty: over existing data, or for a
    database that others share, new keys would make what is stored unreadable for ever.
    """
    if store.meta(REINDEX) is not None:
        raise SealKeyError("The database is between two index keys: run `riskengine keys reindex` to its end.")
    check = store.meta(SEAL_CHECK)
    untouched = check is None and store.is_empty()
    source = source_of(settings)
    if isinstance(source, KeyFile) and not source.path.exists():
        _make_key(settings, untouched)
    seal = Seal(source.read(), source.read)
    if check is not None:
        seal.verify_check(check)
    elif untouched:
        store.set_meta(SEAL_CHECK, seal.check_value())
    else:
        raise SealKeyError("The database holds data but not the value that proves its sealing key.")
    return seal


def _make_key(settings: Settings, untouched: bool) -> None:
    missing = f"RISKENGINE_KEY_FILE {settings.key_file} is missing"
    if not untouched:
        raise SealKeyError(
            f"{missing}, and the database holds data sealed with it: restore the file from its backup. Without it "
            "nothing personal in there can ever be read again."
        )
    if not settings.is_embedded:
        raise SealKeyError(
            f"{missing}: copy it from another server of this database, or make the first one with "
            "`riskengine keys generate`."
        )
    try:
        Keys.generate().write(settings.key_file)
    except SealKeyError:
        if not settings.key_file.exists():  # else another process was faster, and its key is read
            raise
    else:
        _log.warning("sealing key made", file=str(settings.key_file), keep=LOSS)


def open_locator(settings: Settings) -> Locator:
    """Open the geolocation data; DataError names an operator's file that cannot be used."""
    return Locator.open(settings.home, settings.geoip_city, settings.geoip_asn, settings.geoip_anonymous)


def read_policy(settings: Settings) -> Policy:
    """Return the policy of the file that is set, or of the one shipped; PolicyError names file, line and key.

    A server may have another one in force: what was activated since, see riskengine/activation.py.
    """
    return read_file(settings.policy_file)[1]


def compile_core(policy: Policy, tell: Callable[[str], object]) -> None:
    """Have the scoring core compiled before anybody waits for a decision; `tell` what takes so long, where it does."""
    if not is_ready():
        tell("compiling the scoring core, once, ~30 s")
    try:
        ready(policy)
    except OSError as error:  # numba keeps what it compiles beside the other caches of this user
        raise SettingsError(
            f"The compiled scoring core cannot be written below {FOLDER} ({error.strerror}): make room there, or name "
            "another folder by XDG_CACHE_HOME."
        ) from error


def assemble(settings: Settings) -> Parts:
    """Make every part; raise the RiskEngineError of the first that cannot be had, with nothing overwritten."""
    policy = read_policy(settings)  # a wrong one stops the start before anything is made
    tracing = start_tracing()
    locator = open_locator(settings)
    make_home(settings)
    outside = _outside(settings)
    compile_core(policy, _log.info)
    with ExitStack() as undo:
        store = open_store(settings)
        undo.callback(store.close)
        seal = open_seal(settings, store)
        audit = Audit(store, seal)
        rulebook = Rulebook(store, audit, settings)
        rulebook.refresh(clock())
        engine = Engine(store, locator, rulebook.policy, seal)
        engine.adopt(rulebook.policy, rulebook.shadow)
        watch = Watch(store, seal)
        watch.refresh(clock())
        engine.heed(watch.blocks)
        engine.rehearse()
        journal = Journal(settings.home / "journal", seal)
        live = Live(engine, journal, deadline=DEADLINE_SECONDS, tracing=tracing)
        undo.pop_all()
    clients = Clients(store)
    tokens = Tokens(Keyring(store, seal, "token", new_signing_key), clients, settings.token_issuer)
    purse = Purse(Keyring(store, seal, "one_time", new_secret), clients, store)
    limits = Limits(
        clock, logins=settings.limit_logins, requests=settings.limit_requests, rate=settings.limit_rate
    )
    access = Access(store, tokens, settings.access_minimum, purse, outside)
    mint = Mint(clients, tokens, purse, limits)
    sessions = Sessions(store, access)
    upkeep, keys = Upkeep(settings, seal), source_of(settings)
    return Parts(
        store, seal, locator, rulebook, watch, live, access, limits, mint, sessions, audit, tracing, upkeep, keys
    )


def _outside(settings: Settings) -> Outside | None:
    """Return what checks an outside issuer's tokens. A file with its keys is read now; what was fetched before is taken
    up, so that the start waits for nobody."""
    if not settings.outside_issuer:
        return None
    keys = Published(settings.outside_jwks, settings.home / "outside-keys.json")
    if "://" in settings.outside_jwks:
        keys.recall()
    else:
        try:
            keys.refresh(clock())
        except IssuerUnavailable as error:
            raise SettingsError(f"RISKENGINE_OUTSIDE_JWKS is wrong: {error}.") from error
    terms = Terms(
        settings.outside_issuer,
        settings.outside_audience,
        settings.outside_scope_claim,
        settings.outside_scope_prefix,
        settings.outside_realm_claim,
    )
    return Outside(terms, keys)


def build(settings: Settings) -> FastAPI:
    """Return the application, ready to be served; its parts are open until its lifespan ends."""
    parts = assemble(settings)
    app = FastAPI(
        title="riskengine",
        openapi_url=None,  # ours is written from the contract, see api/manual.py
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asking for its settings costs each request
        lifespan=_lifespan,
        routes=list(ROUTES),
    )
    app.state.parts = parts
    inquiry = Inquiry(parts.store, parts.seal, parts.audit, clock)
    blocklist = Blocklist(parts.store, parts.seal, parts.audit)
    verdicts = Verdicts(parts.live.engine, parts.store, inquiry, parts.audit, clock)
    challenges = Challenges(parts.seal, settings.step_up_challenge == "required")
    limits, guesses = parts.limits, Guesses(clock, settings.limit_failures)
    door = Door(parts.access, clock, guesses, parts.mint, parts.audit)
    app.state.desk = Desk(parts.live, door, parts.audit, clock, inquiry, challenges, blocklist, limits, verdicts)
    app.state.office = Office(
        parts.live, parts.store, parts.sessions, parts.audit, parts.rulebook, inquiry, blocklist, verdicts, guesses,
        limits, clock,
    )  # fmt: skip
    app.state.settings = settings
    app.state.draining = False
    app.add_middleware(Envelope, routes=ROUTES)
    if parts.tracing is not None:
        app.add_middleware(TracedRequests, tracing=parts.tracing, routes=ROUTES)
    install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start what runs beside the requests, and stop it after the last of them: waiting ones are answered first."""
    parts: Parts = app.state.parts
    await parts.live.start()
    due = asyncio.Event()
    beside = (
        _watch(parts.locator, app.state.settings.reload_seconds),
        _follow(parts),
        _rekey(parts, due),
        _tend(parts.upkeep, due),
        _tend_tokens(parts.mint),
        _count(Rollup(parts.store)),
    )
    watching = [asyncio.create_task(task) for task in beside]
    if parts.access.outside is not None:
        watching.append(asyncio.create_task(_look_at_issuer(parts.access.outside.keys)))
    if metrics.SHARED:
        watching.append(asyncio.create_task(_pass_on(app)))
    # The engine's thread lets go of the interpreter at each statement; with the usual 5 ms it waits as long to get it
    # back while the event loop is busy, dozens of times a batch, and decided a third less under overload when measured.
    sys.setswitchinterval(0.0005)
    # What lives until the end need not be looked at by every collection; it cut p99 to a quarter when measured.

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    source = parts.locator.source(clock())
    policy = parts.rulebook.policy
    _log.info("started", policy=policy.name, policy_version=policy.version, mode=policy.mode, data=source.name,
              data_date=source.date)  # fmt: skip
    try:
        yield
    finally:
        app.state.draining = True
        parts.upkeep.stop()
        for task in watching:
            task.cancel()
        await parts.live.stop()
        app.state.desk.door.close()
        parts.store.close()
        metrics.flush()
        if parts.tracing is not None:
            await asyncio.to_thread(parts.tracing.close)
        _log.info("stopped")


async def _watch(locator: Locator, seconds: float) -> None:
    """Take up new geolocation files; those that cannot be used or are held back are logged, and the old ones stay."""
    told: str | None = None
    while True:
        await asyncio.sleep(seconds)
        problem: str | None = None
        try:
            if await asyncio.to_thread(locator.reload):
                _log.info("geolocation data reloaded", date=locator.source(clock()).date)
        except DataError as error:
            problem = str(error)
        GEO_HELD.set(locator.held() is not None)
        problem = problem or locator.held()
        if problem is not None and problem != told:
            _log.error("geolocation data not reloaded", reason=problem)
        told = problem


async def _follow(parts: Parts) -> None:
    """Decide by another policy, and heed other blocks, as soon as these are in force; what cannot be taken up is logged
    and what there was stays."""
    rulebook, watch, engine = parts.rulebook, parts.watch, parts.live.engine
    while True:
        await asyncio.sleep(POLICY_SECONDS)
        try:
            if await asyncio.to_thread(watch.refresh, clock()):
                engine.heed(watch.blocks)
        except Exception:  # a defect in one look must not end the watch for the next
            _log.exception("blocks not followed")
        try:
            if await asyncio.to_thread(rulebook.refresh, clock()):
                engine.adopt(rulebook.policy, rulebook.shadow)
        except Exception:  # a defect in one policy must not end the watch for the next
            _log.exception("policy not followed")


async def _look_at_issuer(keys: Published) -> None:
    """Take up what keys an outside issuer publishes; where it does not answer, that is told and its last ones count."""
    told: str | None = None
    while True:
        problem: str | None = None
        try:
            await asyncio.to_thread(keys.refresh, clock())
        except IssuerUnavailable as error:
            problem = str(error)
        if problem is not None and problem != told:
            _log.error("keys of the outside issuer not read", reason=problem)
        told = problem
        await asyncio.sleep(ISSUER_SECONDS if problem is None else ISSUER_RETRY_SECONDS)


async def _tend_tokens(mint: Mint) -> None:
    """Forget which one-time tokens were used, once these have expired: they are refused for that alone; and learn which
    keys sign tokens."""
    while True:
        try:
            await asyncio.to_thread(mint.tend, clock())
        except Exception:  # what fails once must not end the task
            _log.exception("tokens not tended")
        await asyncio.sleep(random.uniform(0.5, 1.5) * FORGET_SECONDS)  # noqa: S311 (so that processes do not collide)


async def _pass_on(app: FastAPI) -> None:
    """Put what this worker counts where the others find it."""
    while True:
        try:
            health.gauge(app.state.parts.live, app.state.draining, clock())
            metrics.flush()
        except Exception:  # what fails once must not end the count
            _log.exception("not counted")
        await asyncio.sleep(COUNT_SECONDS)


async def _rekey(parts: Parts, due: asyncio.Event) -> None:
    """Seal with new keys as soon as they are there, and say that upkeep is due: what older ones sealed waits for it."""
    told: str | None = None
    while True:
        await asyncio.sleep(min(parts.keys.seconds, UPKEEP_SECONDS))
        try:
            if await asyncio.to_thread(lambda: parts.seal.adopt(parts.keys.read())):
                _log.info("sealing keys taken up", current=parts.seal.keys.current)
                due.set()
            told = None
        except SealKeyError as error:
            if str(error) != told:
                _log.error("sealing keys not taken up", reason=str(error))
            told = str(error)
        except Exception:  # a defect in one look must not end the watch for the next
            _log.exception("sealing keys not followed")


async def _tend(upkeep: Upkeep, due: asyncio.Event) -> None:
    """Keep the store in order, whatever becomes of one run."""
    wait = random.uniform(0, UPKEEP_FIRST_SECONDS)  # noqa: S311 (so that processes do not collide)
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(due.wait(), wait)
        due.clear()
        try:
            await asyncio.to_thread(upkeep.run, clock())
        except Exception:  # a defect in one run must not end the task for the next
            _log.exception("upkeep broken")
        wait = LEASE_SECONDS if upkeep.left_to_another else UPKEEP_SECONDS


async def _count(rollup: Rollup) -> None:
    """Count events by the hour, beside scoring."""
    while True:
        await asyncio.sleep(random.uniform(0.5, 1) * STATISTICS_SECONDS)  # noqa: S311 (so that processes do not collide)
        try:
            await asyncio.to_thread(rollup.run, clock())
        except StoreUnavailable as error:
            _log.warning("statistics wait", reason=str(error))
        except Exception:  # a defect in one run must not end the task for the next
            _log.exception("statistics broken")


def start_logging(log_format: str) -> None:
    """Send every log line, uvicorn's too, to stderr: as JSON, or as text for people.

    An exception is logged as where it happened and never with its text, which may repeat what a caller sent.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace_id,
        _without_texts,
    ]
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    renderer: Any = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=colours)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_texts(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    given = line.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        line["chain"] = chain_of(error)
    return line
