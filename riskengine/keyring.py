"""The keys of one installation, and where they come from: a file, the environment, or a command that prints them."""

import base64
import binascii
import fcntl
import json
import os
import secrets
import shlex
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from riskengine.errors import SealKeyError
from riskengine.settings import Settings

KEY_BYTES = 32
KEY_ID_BYTES = 4
KEY_FILE_VERSION = 1
# A secret manager answers within this, or the keys count as not to be had.
COMMAND_SECONDS = 20.0
LOSS = "without it nothing personal that is stored can ever be read again: back it up, apart from the database"


@dataclass(frozen=True)
class Keys:
    """The secrets of one installation: `index` for look-ups, and by id (8 hex digits) the keys that seal.

    `current` names the key that seals from now on; the others still open what they sealed. `next`, where there is one,
    is a key that was handed out to all servers and seals nothing yet. `next_index` is there while `riskengine keys
    reindex` puts it in the place of `index`.
    """

    current: str
    index: bytes = field(repr=False)
    seal: Mapping[str, bytes] = field(repr=False)
    next: str | None = field(default=None, repr=False)
    next_index: bytes | None = field(default=None, repr=False)

    @classmethod
    def generate(cls) -> "Keys":
        """Return new random keys."""
        key_id = secrets.token_hex(KEY_ID_BYTES)
        return cls(key_id, secrets.token_bytes(KEY_BYTES), {key_id: secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Return the keys in `path`; SealKeyError, naming the file, unless it is whole and private."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except FileNotFoundError as error:
            raise SealKeyError(f"the key file {path} does not exist") from error
        except OSError as error:
            raise SealKeyError(f"the key file {path} cannot be read ({error.strerror})") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SealKeyError(f"the key file {path} is open to other users; make it private with chmod 600")
        return cls.parse(text, f"the key file {path}")

    @classmethod
    def parse(cls, text: bytes | str, said_by: str) -> "Keys":
        """Return the keys that `text` holds; SealKeyError, naming who said it, if it is no key file's content."""
        try:
            return cls._parse(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            # The cause may quote the text, which is secret: it is not chained into what a log might print.
            raise SealKeyError(f"{said_by} is not a riskengine key file, or is damaged") from None

    @classmethod
    def _parse(cls, given: Any) -> "Keys":
        if type(given["version"]) is not int or given["version"] != KEY_FILE_VERSION:
            raise ValueError("version")
        seal = {key_id: _decoded_key(key) for key_id, key in given["seal"].items()}
        named = {given["current"], given.get("next") or given["current"]}
        if not named <= seal.keys() or any(id_bytes(key_id).hex() != key_id for key_id in seal):
            raise ValueError("key id")
        next_index = None if given.get("next_index") is None else _decoded_key(given["next_index"])
        return cls(given["current"], _decoded_key(given["index"]), seal, given.get("next"), next_index)

    def text(self) -> str:
        """Return what a key file holds."""
        content = {
            "version": KEY_FILE_VERSION,
            "index": base64.b64encode(self.index).decode(),
            "current": self.current,
            "seal": {key_id: base64.b64encode(key).decode() for key_id, key in self.seal.items()},
        }
        if self.next is not None:
            content["next"] = self.next
        if self.next_index is not None:
            content["next_index"] = base64.b64encode(self.next_index).decode()
        return json.dumps(content) + "\n"

    def write(self, path: Path) -> None:
        """Create `path`, readable by its owner alone, whole or not at all; SealKeyError if it exists."""
        with _possible(path):
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700, parents=True)
            with _drafted(path, self.text()) as draft:
                try:
                    # Unlike a rename, a link fails when the name is taken: keys are never overwritten.
                    path.hardlink_to(draft)
                except FileExistsError as error:
                    raise SealKeyError(f"the key file {path} exists already and is not overwritten") from error

    def prepared(self) -> "Keys":
        """Return the keys with one more that seals nothing yet; as they are, if there is one."""
        if self.next is not None:
            return self
        key_id = secrets.token_hex(KEY_ID_BYTES)
        return replace(self, seal={**self.seal, key_id: secrets.token_bytes(KEY_BYTES)}, next=key_id)

    def rotated(self) -> "Keys":
        """Return the keys with another current one: the prepared one, else a new one."""
        ready = self.prepared()
        assert ready.next is not None
        return replace(ready, current=ready.next, next=None)

    def reindexing(self) -> "Keys":
        """Return the keys with an index key that is to follow; as they are, if there is one."""
        return self if self.next_index is not None else replace(self, next_index=secrets.token_bytes(KEY_BYTES))

    def reindexed(self) -> "Keys":
        """Return the keys with the index key that follows in the place of the old one, which is gone."""
        assert self.next_index is not None
        return replace(self, index=self.next_index, next_index=None)

    def without(self, key_id: str) -> "Keys":
        """Return the keys without one that is neither current nor prepared."""
        if key_id in (self.current, self.next):
            raise SealKeyError(f"key {key_id} is in use and stays")
        return replace(self, seal={other: key for other, key in self.seal.items() if other != key_id})


class KeySource(Protocol):
    """Where keys are read."""

    @property
    def says(self) -> str:
        """Its name, for people."""

    @property
    def seconds(self) -> float:
        """For how long a reading may be taken for good."""

    def read(self) -> Keys:
        """Return the keys; SealKeyError, naming the source, where they cannot be had."""

    def replace(self, old: Keys, new: Keys) -> None:
        """Put `new` in the place of `old`; SealKeyError where that is for somebody else to do."""


@dataclass(frozen=True)
class KeyFile:
    """A file that its owner alone can read."""

    path: Path
    seconds: float = 1.0

    @property
    def says(self) -> str:
        """The file's path."""
        return str(self.path)

    def read(self) -> Keys:
        """Return the keys in the file."""
        return Keys.read(self.path)

    def replace(self, old: Keys, new: Keys) -> None:
        """Write `new` over `old`, whole or not at all; SealKeyError if the file holds something else by now."""
        path = self.path.resolve()
        with _possible(path), _alone_in(path.parent):
            if Keys.read(path) != old:
                raise SealKeyError(f"the key file {path} was changed meanwhile by somebody else; nothing was written")
            owner = path.stat()
            with _drafted(path, new.text()) as draft:
                if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                    os.chown(draft, owner.st_uid, owner.st_gid)  # the servers' user must go on reading it
                draft.rename(path)


@dataclass(frozen=True)
class KeyText:
    """RISKENGINE_KEYS in the environment: what a key file would hold."""

    text: str = field(repr=False)
    says: str = "RISKENGINE_KEYS"
    seconds: float = float("inf")

    def read(self) -> Keys:
        """Return the keys that the environment held when this process began."""
        return Keys.parse(self.text, self.says)

    def replace(self, old: Keys, new: Keys) -> None:
        """Refuse: nobody can change another process's environment."""
        raise SealKeyError(f"the keys come from {self.says}, which only you can change")


@dataclass(frozen=True)
class KeyCommand:
    """RISKENGINE_KEY_COMMAND: a command, run without a shell, that prints what a key file would hold."""

    command: str
    says: str = "RISKENGINE_KEY_COMMAND"
    # A secret manager is not asked every second; a key that is missing is asked for at once.
    seconds: float = 300.0

    def read(self) -> Keys:
        """Return the keys that the command prints."""
        try:
            words = shlex.split(self.command)
            done = subprocess.run(  # noqa: S603 (whoever sets it may run commands as this user anyway)
                words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=COMMAND_SECONDS
            )
        except subprocess.CalledProcessError as error:
            # Neither what it printed nor its arguments: both may be secret.
            raise SealKeyError(f"{self.says} ended with exit code {error.returncode}") from None
        except subprocess.TimeoutExpired:
            raise SealKeyError(f"{self.says} printed no keys within {COMMAND_SECONDS:.0f} s") from None
        except (OSError, ValueError) as error:
            raise SealKeyError(f"{self.says} cannot be run ({type(error).__name__})") from None
        return Keys.parse(done.stdout, f"what {self.says} printed")

    def replace(self, old: Keys, new: Keys) -> None:
        """Refuse: a secret manager is written by whoever may."""
        raise SealKeyError(f"the keys come from {self.says}, which only you can change")


def source_of(settings: Settings) -> KeySource:
    """Return where these settings say that the keys are."""
    if settings.keys:
        return KeyText(settings.keys)
    if settings.key_command:
        return KeyCommand(settings.key_command)
    return KeyFile(settings.key_file)


def id_bytes(key_id: str) -> bytes:
    """Return the 4 bytes of a key id; ValueError if it is not one."""
    found = bytes.fromhex(key_id)
    if len(found) != KEY_ID_BYTES:
        raise ValueError("key id")
    return found


def _decoded_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("base64") from error
    if len(key) != KEY_BYTES:
        raise ValueError("length")
    return key


@contextmanager
def _possible(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SealKeyError(f"the key file {path} cannot be written ({error.strerror})") from error


@contextmanager
def _drafted(path: Path, text: str) -> Iterator[Path]:
    """Have `text` on disk beside `path`, private, to be linked or renamed there; what is left of it goes."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    with _folder(path.parent) as folder:
        os.fsync(folder)  # a new name survives a power cut


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Let nobody else replace keys in this folder meanwhile."""
    with _folder(path) as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
