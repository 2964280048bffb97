"""Sections and pictures as one HTML page that needs nothing else: its own style, no script, nothing fetched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from riskengine.charts.plot import STYLE
from riskengine.document.section import Listing, Section
from riskengine.visible import visible_lines


def _shown(value: Any) -> Any:
    return visible_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_PAGE = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=_shown
).from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Chapter:
    """A section with the pictures that go with it, each an SVG of `charts`."""

    section: Section | Listing
    pictures: Sequence[str] = ()


def html(title: str, lead: str, facts: Sequence[tuple[str, str]], chapters: Sequence[Chapter]) -> str:
    """Return the page. Texts may hold anything; `facts` are names and sentences, the one called "again" a command."""
    kinds = {"is_table": lambda section: isinstance(section, Section)}
    return _PAGE.render(title=title, lead=lead, facts=facts, chapters=chapters, style=STYLE, **kinds)
