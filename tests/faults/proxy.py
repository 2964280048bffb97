"""A network between server and database that can hang, vanish, and lose a connection at the worst moment."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.faults.client import HOST

_COMMIT = b"COMMIT\x00"  # as libpq sends it: the end of a simple query message
_SAVES = b"INSERT INTO events "


class Proxy:
    """Forwards a TCP port of 127.0.0.1 to a PostgreSQL server's socket; to be used inside one event loop.

    `cut`: "before" loses the next connection that is about to commit events instead of forwarding its COMMIT, "after"
    once the server has confirmed it, which nobody is told. Then `cut` is None again, and where `then_vanish` is set
    there is no getting through any more.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        [folder] = parse_qs(parts.query)["host"]
        self._socket = str(Path(unquote(folder)) / ".s.PGSQL.5432")
        self._name = parts.path
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.cut: str | None = None
        self.then_vanish = False

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}{self._name}"

    async def __aenter__(self) -> "Proxy":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.vanish()

    async def start(self) -> None:
        """Listen; the port stays the same over further starts."""
        self._server = await asyncio.start_server(self._join, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def hang(self) -> None:
        """Forward nothing any more; connections stay open, new ones are accepted."""
        self._flows.clear()

    def resume(self) -> None:
        """Forward again, first what was held back."""
        self._flows.set()

    def vanish(self) -> None:
        """End every connection and refuse new ones until `start`."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.transport.abort()
            return
        session = _Session(self)
        self._writers |= {writer, far_writer}
        ways = [
            asyncio.create_task(self._pump(session.may_send, reader, far_writer)),
            asyncio.create_task(self._pump(session.may_tell, far_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        if session.lost and self.then_vanish:
            self.vanish()
        self._writers -= {writer, far_writer}
        writer.transport.abort()
        far_writer.transport.abort()

    async def _pump(
        self, may_pass: Callable[[bytes], bool], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65_536):
            await self._flows.wait()
            if not may_pass(data):
                return
            writer.write(data)
            await writer.drain()


class _Session:
    """What one connection is about: whether it has written events, and whether its COMMIT is the one to lose."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._saves = self.lost = False

    def may_send(self, data: bytes) -> bool:
        """Return whether the server may get this."""
        self._saves |= _SAVES in data
        if not data.endswith(_COMMIT):
            return True
        saves, self._saves = self._saves, False
        if not saves or self._proxy.cut is None:
            return True
        cut, self._proxy.cut = self._proxy.cut, None
        self.lost = True
        return cut == "after"

    def may_tell(self, data: bytes) -> bool:
        """Return whether the client may get this: not what confirms the COMMIT to lose."""
        return not self.lost
