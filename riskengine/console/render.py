"""Pages as HTML: templates that escape all they are given, and the headers a browser is held to."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from riskengine.charts.hours import STYLE as HOURS_STYLE
from riskengine.charts.plot import STYLE as PLOT_STYLE
from riskengine.charts.world import STYLE as MAP_STYLE
from riskengine.visible import visible_lines

FOLDER = Path(__file__).parent
LONGEST = 2_000  # characters of one value; hardly any screen shows more
# Nothing comes from elsewhere, nothing is inline, and nobody shows a page in a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # With no-referrer browsers send `Origin: null` even to ourselves.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def _read(name: str) -> str:
    return (FOLDER / "static" / name).read_text(encoding="utf-8")


STATIC = {
    "style.css": ("text/css", _read("style.css") + PLOT_STYLE + MAP_STYLE + HOURS_STYLE),
    "console.js": ("text/javascript", _read("console.js")),
    "icon.svg": ("image/svg+xml", _read("icon.svg")),
}
# In the address of each file, so that a browser may keep it for ever and yet gets the next version's.
EDITION = hashlib.sha256("".join(text for _, text in STATIC.values()).encode()).hexdigest()[:12]


def shown(value: Any) -> Any:
    """Return a value as it stands on a page: nothing for None, and text without what a screen would obey.

    >>> shown("a\\x1b[2Jb\\u202ec"), shown(None)
    ('a<U+001B>[2Jb<U+202E>c', '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        seen = visible_lines(value[:LONGEST])
        return seen if len(value) <= LONGEST else f"{seen}… ({len(value):,} characters)"
    return value


def moment(value: str | None) -> Markup:
    """Return an RFC 3339 time as an element: in UTC, and for who asks (by a pointer, a script) as it was given.

    >>> moment("2026-03-04T09:02:11.500Z")
    Markup('<time datetime="2026-03-04T09:02:11.500Z">2026-03-04 09:02:11 UTC</time>')
    """
    if value is None:
        return Markup("")
    text = datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(value, text)


def words(code: str) -> str:
    """Return a name of ours as people write it.

    >>> words("step_up")
    'step up'
    """
    return code.replace("_", " ")


PAGES = (
    ("/console", "Overview"),
    ("/console/search", "Search"),
    ("/console/blocks", "Blocks"),
    ("/console/policy", "Policy"),
    ("/console/status", "Status"),
)
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"moment": moment, "words": words}
_TEMPLATES.globals |= {"edition": EDITION, "pages": PAGES}


def rendered(request: Request, template: str, status: int = 200, **given: Any) -> Response:
    """Return a page; `visitor` is None where nobody is signed in."""
    visitor = getattr(request.state, "visitor", None)
    html = _TEMPLATES.get_template(template).render(visitor=visitor, path=request.url.path, **given)
    return Response(html, status, HEADERS, media_type="text/html")


def picture(svg: str) -> Markup:
    """Return a picture of `charts`, which escapes what it is given, as part of a page."""
    return Markup(svg)  # noqa: S704


def static(name: str) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a style sheet, script or picture; its address changes with it, so it is kept for ever."""
    kind, text = STATIC[name]
    headers = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}

    async def endpoint(request: Request) -> Response:
        return Response(text, 200, headers, media_type=kind)

    return endpoint
