"""Disks that are full and folders that cannot be written, with what this machine allows."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.server import Server

_SMALL = 32 * 2**20


def _mounted(folder: Path, options: str) -> bool:
    """Mount an empty file system in memory over a folder; False where that is not allowed."""
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class SmallDisk:
    """A folder for a home on a disk of its own that can be filled up.

    Without the right to mount one, what is faked is where the refusal comes from: `fill` then forbids the server any
    further growth of any file (RLIMIT_FSIZE: EFBIG where a full disk says ENOSPC), which fills nobody else's disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.real = folder, False
        self._ballast = folder / "ballast"

    @classmethod
    @contextmanager
    def at(cls, folder: Path) -> Iterator["SmallDisk"]:
        folder.mkdir()
        disk = cls(folder)
        disk.real = _mounted(folder, f"size={_SMALL}")
        try:
            yield disk
        finally:
            if disk.real:
                _unmount(folder)

    def fill(self, server: Server) -> None:
        """Leave no room at all."""
        if not self.real:
            self._limit(server, 1)
            return
        with self._ballast.open("wb", buffering=0) as file:
            for size in (2**16, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def clear(self, server: Server) -> None:
        """Give the room back."""
        if self.real:
            self._ballast.unlink()
        else:
            self._limit(server, resource.RLIM_INFINITY)

    def _limit(self, server: Server, most: int) -> None:
        assert server.process is not None
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only for everybody: by its mode, or for root, who may write all the same, by a mount over it.

    Where root may not mount, a file takes the folder's place: nothing can be made in it either.
    """
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
    elif _mounted(folder, "ro"):
        yield
        _unmount(folder)
    else:
        aside = folder.rename(folder.with_name("aside"))
        folder.touch()
        yield
        folder.unlink()
        aside.rename(folder)
