"""`riskengine policy`: is a policy file right, and which one is in force?"""

from pathlib import Path

import click

from riskengine.app import read_policy
from riskengine.cli.shell import Shell
from riskengine.errors import PolicyError
from riskengine.policy import parse
from riskengine.settings import package_files


@click.group(short_help="The policy: check a file, show the one in force.")
def policy() -> None:
    """Weights, thresholds and rules that decide; RISKENGINE_POLICY names a file of your own."""


@policy.command(epilog="Example: riskengine policy check my-policy.toml")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Say whether FILE is a policy; exit 4 with the line and the key when it is not."""
    try:
        found = parse(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file} cannot be read.") from error
    click.echo(f"{file} is right: policy {found.name}, version {found.version}, mode {found.mode}.")


@policy.command(epilog="Example: riskengine policy show > my-policy.toml")
@click.pass_obj
def show(shell: Shell) -> None:
    """Print the policy in force, comments included; stderr says which and from where."""
    settings = shell.settings()
    found = read_policy(settings)
    file = settings.policy or package_files("data") / "policy.toml"
    click.echo(f"Policy {found.name}, version {found.version}, from {file}", err=True)
    click.echo(file.read_text(encoding="utf-8"), nl=False)
