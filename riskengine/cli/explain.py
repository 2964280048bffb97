"""`riskengine explain`: what decided one event, and what would have changed it."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import make_home, open_seal, open_store
from riskengine.cli.shell import Shell
from riskengine.engine.saved import opened
from riskengine.engine.tokens import Tokeniser
from riskengine.errors import NotFound, SettingsError
from riskengine.explain import explain as explained
from riskengine.visible import visible


@click.command(
    short_help="What decided one event, and what would have changed it.",
    epilog="""\b
Examples:
  riskengine explain 7f3c…                                   an event of the store
  riskengine explain e17 --answers decisions.ndjson          an event of a replay's output""",
)
@click.argument("event_id")
@click.option(
    "--answers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Look in a replay's output instead.",
)
@click.option("--realm", default=DEFAULT_REALM, show_default=True)
@click.pass_obj
def explain(shell: Shell, event_id: str, answers: Path | None, realm: str) -> None:
    """Tell one decision: its reasons with their points, what spoke for the login, what would have changed it."""
    answer = _stored(shell, event_id, realm) if answers is None else _replayed(answers, event_id)
    observed = "" if answer["would_be"] is None else f" (observing, else {answer['would_be']})"
    score = f"with a score of {answer['score']:g} ({answer['level']})"
    click.echo(f"{answer['decision']}{observed} {score}, {answer['occurred_at']}")
    for reason in answer["reasons"]:
        click.echo(f"  {reason['points']:5.1f}  {visible(reason['message'])}  [{reason['code']}]")
    for one in answer.get("vouched", []):
        click.echo(f"  {-one['points']:5.1f}  taken back: the {one['by']} is trusted")
    for sentence in explained(answer):
        click.echo(visible(sentence))


def _stored(shell: Shell, event_id: str, realm: str) -> dict[str, Any]:
    """Return the full answer as it was stored."""
    settings = shell.settings()
    make_home(settings)
    with closing(open_store(settings)) as store:
        seal = open_seal(settings, store)
        found = store.read_event(Tokeniser(seal).event_key(realm, event_id))
    if found is None:
        raise NotFound(f"There is no event {event_id} in realm {realm}.")
    answer: dict[str, Any] = opened(found[0], seal)["answer"]
    return answer


def _replayed(file: Path, event_id: str) -> dict[str, Any]:
    """Return the full answer from a line of a replay's output."""
    with file.open(encoding="utf-8") as lines:
        try:
            for line in lines:
                answer: dict[str, Any] = json.loads(line)
                if not {"event_id", "decision", "reasons"} <= answer.keys():
                    raise ValueError("a line is no answer")
                if answer["event_id"] == event_id:
                    return answer
        except (ValueError, AttributeError) as error:
            raise SettingsError(f"--answers {file} is no output of `riskengine replay`.") from error
    raise NotFound(f"{file} holds no event {event_id}.")
