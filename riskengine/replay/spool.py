"""Chunks of items, kept until it is their turn in a file that has no name."""

from tempfile import TemporaryFile
from typing import NamedTuple

import msgspec
import numpy as np

from riskengine.replay.told import TOLD, Chunk

_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[str]).decode


class Piece(NamedTuple):
    """A chunk that is kept: where in the file its bytes begin, and how many are rows, and ids."""

    at: int
    rows: int
    ids: int


class Spool:
    """Keeps chunks, packed. What a crash leaves behind takes no room."""

    def __init__(self) -> None:
        self._end = 0
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115

    def put(self, chunk: Chunk) -> Piece:
        """Keep a chunk; return what `get` gives it back for."""
        rows, ids = chunk.rows.tobytes(), _encode(chunk.ids)
        at = self._end
        self._file.seek(at)
        self._file.write(rows + ids)
        self._end += len(rows) + len(ids)
        return Piece(at, len(rows), len(ids))

    def get(self, piece: Piece) -> Chunk:
        """Return a chunk as it was kept."""
        self._file.seek(piece.at)
        packed = self._file.read(piece.rows + piece.ids)
        rows = np.frombuffer(packed, TOLD, piece.rows // TOLD.itemsize).copy()
        return Chunk(rows, _decode(memoryview(packed)[piece.rows :]))

    def close(self) -> None:
        """Let go of everything."""
        self._file.close()
