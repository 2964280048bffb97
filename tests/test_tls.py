"""TLS and mutual TLS over real connections: who is let in, what is taken up while serving, and what is not."""

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from riskengine.api.doorman import doorman
from riskengine.api.proxies import certificate_of, thumbprint_of
from riskengine.cli.tls import EXPIRED, UNUSABLE, Secured, watch
from riskengine.errors import SettingsError
from riskengine.settings import Settings
from tests.certificates import Authority, Pair
from tests.fixtures_geo import World
from tests.served import Served, serving, settings_of

OURS, FOREIGN = Authority("ours"), Authority("foreign")
SERVER, CALLER, OTHER, STRANGER = OURS.issue("server"), OURS.issue("caller"), OURS.issue("other"), FOREIGN.issue("it")
REFUSED = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """The files of a server that lets its authority's clients in, and has taken nothing back."""
    return written(tmp_path)


def written(folder: Path) -> dict[str, Any]:
    cert, key = SERVER.write(folder, "server")
    authority, revoked = folder / "ca.pem", folder / "crl.pem"
    authority.write_text(OURS.pair.pem)
    revoked.write_bytes(OURS.revocations([]))
    return {"tls_cert": cert, "tls_key": key, "tls_client_ca": authority, "tls_crl": revoked}


def client(shown: Pair | None, folder: Path, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a client that trusts our authority and shows this certificate."""
    context = ssl.create_default_context(cadata=OURS.pair.pem)
    if shown is not None:
        context.load_cert_chain(*shown.write(folder, f"client-{shown.certificate.serial_number}"))
    if newest is not None:
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
    return context


async def _tell(scope: Any, _receive: Any, send: Any) -> None:
    """Answer with what a handler can know of the caller's certificate."""
    body = json.dumps([scope["scheme"], certificate_of(scope), scope["extensions"]["tls"]["tls_version"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def ask(port: int, context: ssl.SSLContext) -> Any:
    """Return what the server tells; raise one of REFUSED where it lets nobody in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return json.loads((await reader.readuntil(b"]")).partition(b"\r\n\r\n")[2])
    finally:
        writer.transport.abort()


def served(secured: Secured, scene: Callable[[int, uvicorn.Server], Any]) -> None:
    """Run a scene against the protocol that serves, secured as `serve` does it."""

    async def whole() -> None:
        config = uvicorn.Config(
            _tell, port=0, http=doorman(lambda: False), lifespan="off", log_config=None,
            ssl_context_factory=lambda _config, _default: secured,
        )  # fmt: skip
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            await scene(server.servers[0].sockets[0].getsockname()[1], server)
        finally:
            server.should_exit = True
            await task

    asyncio.run(whole())


def test_a_certificate_of_the_authority_lets_in_and_reaches_the_handlers(files: dict[str, Any], tmp_path: Path) -> None:
    async def scene(port: int, _server: uvicorn.Server) -> None:
        for shown in (CALLER, OTHER):
            assert await ask(port, client(shown, tmp_path)) == ["https", thumbprint_of(shown.der), 0x0304]
        for unknown in (None, STRANGER):
            with pytest.raises(REFUSED):
                await ask(port, client(unknown, tmp_path))

    served(Secured(Settings(**files)), scene)


def test_an_optional_certificate_may_be_missing_and_not_be_foreign(files: dict[str, Any], tmp_path: Path) -> None:
    async def scene(port: int, _server: uvicorn.Server) -> None:
        assert (await ask(port, client(None, tmp_path)))[1] is None
        assert (await ask(port, client(CALLER, tmp_path)))[1] == thumbprint_of(CALLER.der)
        with pytest.raises(REFUSED):
            await ask(port, client(STRANGER, tmp_path))

    served(Secured(Settings(**files, tls_client_cert="optional")), scene)


def test_a_revoked_certificate_is_refused(files: dict[str, Any], tmp_path: Path) -> None:
    files["tls_crl"].write_bytes(OURS.revocations([CALLER]))

    async def scene(port: int, _server: uvicorn.Server) -> None:
        with pytest.raises(REFUSED):
            await ask(port, client(CALLER, tmp_path))
        assert (await ask(port, client(OTHER, tmp_path)))[1] == thumbprint_of(OTHER.der)

    served(Secured(Settings(**files)), scene)


@pytest.mark.filterwarnings("ignore:.*TLSVersion.*is deprecated:DeprecationWarning")
def test_tls_before_1_2_is_refused(files: dict[str, Any], tmp_path: Path) -> None:
    async def scene(port: int, _server: uvicorn.Server) -> None:
        assert (await ask(port, client(CALLER, tmp_path, ssl.TLSVersion.TLSv1_2)))[2] == 0x0303
        old = client(CALLER, tmp_path, ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")  # else this machine's own OpenSSL would not even ask
        with pytest.raises(REFUSED):
            await ask(port, old)

    served(Secured(Settings(**files)), scene)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_before_does_not_bring_a_revoked_certificate_back(
    files: dict[str, Any], tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A resumed session shows no certificate, so nothing would look at the list."""
    secured = Secured(Settings(**files))
    context = client(CALLER, tmp_path, version)

    def call(port: int, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        raw = socket.create_connection(("127.0.0.1", port), 10)
        with context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as connection.sock:
            connection.request("GET", "/")
            connection.getresponse().read()
            return bool(connection.sock.session_reused), connection.sock.session

    async def scene(port: int, _server: uvicorn.Server) -> None:
        _, session = await asyncio.to_thread(call, port, None)
        files["tls_crl"].write_bytes(OURS.revocations([CALLER]))
        assert secured.renew()
        with pytest.raises((*REFUSED, http.client.RemoteDisconnected)):
            await asyncio.to_thread(call, port, session)

    served(secured, scene)


def test_changed_files_are_read_and_broken_ones_leave_what_there_was(files: dict[str, Any], tmp_path: Path) -> None:
    secured = Secured(Settings(**files))
    newer = OURS.issue("newer")

    async def shown(port: int) -> bytes | None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client(CALLER, tmp_path))
        try:
            return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()

    async def scene(port: int, _server: uvicorn.Server) -> None:
        assert not secured.renew(), "nothing changed"
        files["tls_key"].write_bytes(newer.key_pem)
        with pytest.raises(SettingsError, match="RISKENGINE_TLS_CERT"):
            secured.renew()
        assert await shown(port) == SERVER.der
        files["tls_cert"].write_text(newer.pem)
        assert secured.renew(), "what was half is whole"
        assert await shown(port) == newer.der
        files["tls_client_ca"].write_text(FOREIGN.pair.pem)
        files["tls_crl"].write_bytes(FOREIGN.revocations([]))
        assert secured.renew()
        with pytest.raises(REFUSED):
            await ask(port, client(CALLER, tmp_path))
        assert (await ask(port, client(STRANGER, tmp_path)))[1] == thumbprint_of(STRANGER.der)

    served(secured, scene)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("tls_cert", b"nonsense", "certificate"),
        ("tls_key", CALLER.key_pem, "certificate"),
        ("tls_client_ca", b"", "authority"),
        ("tls_crl", b"", "revoked"),
        ("tls_crl", OURS.pair.pem.encode(), "revoked"),
    ],
)
def test_files_that_cannot_be_used_are_named_at_the_start(
    files: dict[str, Any], name: str, content: bytes, what: str
) -> None:
    files[name].write_bytes(content)

    with pytest.raises(SettingsError) as refused:
        Secured(Settings(**files))

    assert str(refused.value) == UNUSABLE[what]


def test_an_expired_revocation_list_is_said_to_be_one(files: dict[str, Any]) -> None:
    assert Secured(Settings(**files)).problem() is None
    files["tls_crl"].write_bytes(OURS.revocations([], days=-1))
    assert Secured(Settings(**files)).problem() == EXPIRED


def test_the_watch_looks_by_itself_and_survives_broken_files(files: dict[str, Any]) -> None:
    secured, renewed = Secured(Settings(**files)), []

    async def scene() -> None:
        watching = asyncio.create_task(watch(secured, 0.01, lambda: renewed.append(True)))
        files["tls_crl"].write_bytes(b"")
        await asyncio.sleep(0.1)
        assert not renewed
        files["tls_crl"].write_bytes(OURS.revocations([CALLER]))
        async with asyncio.timeout(10):
            while not renewed:  # noqa: ASYNC110 - it is another task that is waited for
                await asyncio.sleep(0.01)
        watching.cancel()

    asyncio.run(scene())


def healthy(served: Served, shown: Pair | None, folder: Path) -> http.client.HTTPSConnection:
    """Return an open connection over which the server has answered."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", served.settings.port, context=client(shown, folder), timeout=30
    )
    try:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    except BaseException:
        connection.close()
        raise
    return connection


def test_the_command_serves_by_mutual_tls_and_every_worker_takes_a_revocation_up(
    files: dict[str, Any], tmp_path: Path, world: World
) -> None:
    """Two workers that would not look at the files by themselves for an hour."""
    with serving(settings_of(tmp_path / "home", world, workers=2, reload_seconds=3600, **files)) as command:
        with pytest.raises((*REFUSED, http.client.RemoteDisconnected)):
            healthy(command, None, tmp_path)
        kept = healthy(command, CALLER, tmp_path)
        files["tls_crl"].write_bytes(OURS.revocations([CALLER]))

        os.kill(command.process.pid, signal.SIGHUP)
        command.until_logged("certificates reloaded", times=2)

        for _ in range(12):  # whichever worker the kernel picks
            with pytest.raises((*REFUSED, http.client.RemoteDisconnected)):
                healthy(command, CALLER, tmp_path)
            healthy(command, OTHER, tmp_path).close()
        assert kept.sock is not None
        kept.sock.settimeout(10)
        assert kept.sock.recv(1) == b"", "a connection that was open is closed, too"
        kept.close()
