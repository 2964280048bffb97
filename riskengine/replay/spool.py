"""Chunks of items, kept until it is their turn: a few in memory, what is more in a file that has no name."""

from tempfile import TemporaryFile
from typing import NamedTuple

import msgspec
import numpy as np

from riskengine.replay.told import TOLD, Chunk

_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[str]).decode


class Piece(NamedTuple):
    """A chunk that is kept: its bytes, or where in the file they begin; how many are rows, and ids."""

    held: bytes | None
    at: int
    rows: int
    ids: int


class Spool:
    """Keeps chunks, packed; up to `limit` bytes of them in memory. What a crash leaves behind takes no room."""

    def __init__(self, limit: int) -> None:
        self._left, self._end = limit, 0
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115

    def put(self, chunk: Chunk) -> Piece:
        """Keep a chunk; return what `get` gives it back for."""
        rows, ids = chunk.rows.tobytes(), _encode(chunk.ids)
        packed = rows + ids
        if len(packed) <= self._left:
            self._left -= len(packed)
            return Piece(packed, 0, len(rows), len(ids))
        at = self._end
        self._file.seek(at)
        self._file.write(packed)
        self._end += len(packed)
        return Piece(None, at, len(rows), len(ids))

    def get(self, piece: Piece) -> Chunk:
        """Return a chunk as it was kept."""
        packed = piece.held
        if packed is None:
            self._file.seek(piece.at)
            packed = self._file.read(piece.rows + piece.ids)
        rows = np.frombuffer(packed, TOLD, piece.rows // TOLD.itemsize).copy()
        return Chunk(rows, _decode(memoryview(packed)[piece.rows :]))

    def pop(self, piece: Piece) -> Chunk:
        """Return a chunk for the last time: what it took of memory is free again, once the piece is let go."""
        if piece.held is not None:
            self._left += len(piece.held)
        return self.get(piece)

    def close(self) -> None:
        """Let go of everything."""
        self._file.close()
