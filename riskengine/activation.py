"""Which policy is in force: the policy file, or what somebody activated since. The last change counts, everywhere.

Each change is a row of the store: a policy file whose content changed, `policy activate`, `policy rollback`, `policy
mode`. Every server of a database follows the newest row, so a server whose file changes speaks for all of them, and
what an operator activates lasts until a file changes again or somebody says otherwise; the policy that ships with a
newer version replaces an older shipped one only. A mode that was set stays through all of these until it is lifted.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from riskengine.access.caller import DEFAULT_REALM
from riskengine.audit import Audit
from riskengine.errors import NotFound, PolicyError, StoreUnavailable
from riskengine.metrics import POLICY_PROBLEMS
from riskengine.policy.parse import parse
from riskengine.policy.policy import Policy
from riskengine.settings import Settings
from riskengine.store.contract import PolicyRow, Store

LOOK_BACK = 1000  # changes among which a rollback looks for what was in force before
_log = structlog.get_logger(__name__)


def read_file(file: Path) -> tuple[str, Policy]:
    """Return the text of a policy file and the policy; PolicyError names file, line and key."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"The policy file {file} cannot be read.") from error
    return text, parse(text, str(file))


def policy_of(row: PolicyRow) -> Policy:
    """Return the policy of a stored change, in the mode that was set; PolicyError where this version cannot read it."""
    policy = parse(row.text, f"the stored policy {row.version}")
    return policy if row.mode is None else replace(policy, mode=row.mode)


def takes_up(last: PolicyRow | None, version: str, shipped: bool) -> bool:
    """Return whether a server whose policy file has this version puts it in force over what is (`last`).

    A shipped policy gives way to what an operator activated or rolled back to: nobody changed it on purpose.
    """
    if last is None:
        return True
    return last.file != version and not (shipped and last.version != last.file)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes the policy in force for all servers of a store, in the name of `actor`; each is audited first."""

    store: Store
    audit: Audit
    actor: str

    def activate(self, text: str, policy: Policy, at: int) -> PolicyRow:
        """Put a policy in force, until a policy file changes or somebody says otherwise."""
        last = self._last()
        file, mode = (last.file, last.mode) if last else ("", None)
        row = PolicyRow(0, at, self.actor, "activate", policy.version, policy.name, text, mode, file)
        return self._add(row)

    def take_up(self, text: str, policy: Policy, shipped: bool, at: int) -> None:
        """Put the policy of a file in force, if it `takes_up`."""
        last, version = self._last(), policy.version
        if takes_up(last, version, shipped):
            mode = last.mode if last else None
            self._add(PolicyRow(0, at, self.actor, "file", version, policy.name, text, mode, version))

    def roll_back(self, version: str | None, at: int) -> PolicyRow:
        """Put a policy of before in force again: the last other one, or the one whose version begins so."""
        rows = self.store.policies(LOOK_BACK)
        wanted = [row for row in rows if row.version != rows[0].version and row.version.startswith(version or "")]
        if not wanted:
            named = f"of version {version} " if version else ""
            raise NotFound(f"No other policy {named}was in force before; `riskengine policy list` shows them.")
        old, last = wanted[0], rows[0]
        row = replace(old, id=0, at=at, actor=self.actor, action="rollback", mode=last.mode, file=last.file)
        return self._add(row)

    def set_mode(self, mode: str | None, at: int) -> PolicyRow:
        """Answer in this mode whatever the policy states, or again as it states (None)."""
        last = self._last()
        if last is None:
            raise NotFound("No policy is in force yet: start a server first, or `riskengine policy activate FILE`.")
        return self._add(replace(last, id=0, at=at, actor=self.actor, action="mode", mode=mode))

    def _last(self) -> PolicyRow | None:
        return next(iter(self.store.policies(1)), None)

    def _add(self, row: PolicyRow) -> PolicyRow:
        # What cannot be audited must not happen.
        self.audit.record(
            row.at, DEFAULT_REALM, row.actor, f"policy.{row.action}", row.version, mode=row.mode or "as written"
        )
        return self.store.add_policy(row)


class Rulebook:
    """The policies that a serving process decides by: `policy`, and `shadow` beside it, which decides nothing.

    `refresh` looks whether they changed. What is broken leaves what there was, is logged once, and stands in `problems`
    by where it is until it is mended. A policy file that cannot be used at the start is a PolicyError.
    """

    def __init__(self, store: Store, audit: Audit, settings: Settings) -> None:
        self._store, self._changes = store, Changes(store, audit, "server")
        self._shipped, shadow = settings.policy is None, settings.shadow_policy
        self._files = {"file": settings.policy_file} | ({"shadow": shadow} if shadow else {})
        self._seen: dict[str, str | None] = {}
        self._followed = 0
        self.policy: Policy = read_file(settings.policy_file)[1]
        self.shadow: Policy | None = read_file(shadow)[1] if shadow else None
        self.problems: dict[str, str] = {}

    def refresh(self, at: int) -> bool:
        """Take up what changed in the files and in the store, at `at` (ms since 1970); return whether anything did."""
        before = self.policy, self.shadow
        for part, look in (("shadow", self._look_beside), ("file", self._look_at_file), ("store", self._look_at_store)):
            try:
                look(at)
            except PolicyError as error:
                self._note(part, str(error))
            except StoreUnavailable as error:
                self._note("database", str(error))
                break
        else:
            self.problems.pop("database", None)
        POLICY_PROBLEMS.set(len(self.problems))
        return self.policy is not before[0] or self.shadow is not before[1]

    def _look_beside(self, at: int) -> None:
        if (text := self._changed("shadow")) is not None:
            self.shadow = parse(text, str(self._files["shadow"]))
            self.problems.pop("shadow", None)

    def _look_at_file(self, at: int) -> None:
        if (text := self._changed("file")) is not None:
            policy = parse(text, str(self._files["file"]))
            try:
                self._changes.take_up(text, policy, self._shipped, at)
            except StoreUnavailable:
                del self._seen["file"]  # it is looked at again
                raise
            self.problems.pop("file", None)

    def _look_at_store(self, at: int) -> None:
        for row in self._store.policies(1):
            if row.id != self._followed:
                self._followed = row.id  # one that this version cannot read is told once
                self.policy = policy_of(row)
                self.problems.pop("store", None)
                _log.info("policy in force", version=row.version, name=row.name, mode=self.policy.mode, by=row.actor)

    def _changed(self, part: str) -> str | None:
        """Return the text of a file where it is another than at the last look, else None."""
        if part not in self._files:
            return None
        try:
            text: str | None = self._files[part].read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text = None
        if part in self._seen and self._seen[part] == text:
            return None
        self._seen[part] = text
        if text is None:
            raise PolicyError(f"The policy file {self._files[part]} cannot be read.")
        return text

    def _note(self, part: str, sentence: str) -> None:
        if self.problems.get(part) != sentence:
            _log.error("policy not taken up", part=part, reason=sentence)
        self.problems[part] = sentence
