"""Another process that holds an SQLite database, as a backup or a person at a prompt does."""

import asyncio
import sys
from pathlib import Path

_HOLD = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10);"
    "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
)


class Holder:
    """Holds a database file from `hold` to `let_go`."""

    def __init__(self, file: Path) -> None:
        assert file.exists()
        self._file = file
        self._process: asyncio.subprocess.Process | None = None

    async def hold(self) -> None:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-c", _HOLD, str(self._file))
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"held\n"

    async def let_go(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
