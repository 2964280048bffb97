"""A user agent's coarse family: what stays the same when a browser updates itself."""

import re

# First match wins: a browser names the engines it imitates after or before its own name.
_BROWSERS = (
    ("edge", re.compile(r"Edg(?:e|A|iOS)?/")),
    ("opera", re.compile(r"OPR/|Opera")),
    ("samsung", re.compile(r"SamsungBrowser/")),
    ("firefox", re.compile(r"Firefox/|FxiOS/")),
    ("chrome", re.compile(r"Chrome/|CriOS/|Chromium/")),
    ("safari", re.compile(r"Version/[\d.]+ (?:Mobile/\S+ )?Safari/")),
)
_SYSTEMS = (
    ("ios", re.compile(r"iPhone|iPad|iPod")),
    ("android", re.compile(r"Android")),
    ("windows", re.compile(r"Windows")),
    ("macos", re.compile(r"Mac OS X|Macintosh")),
    ("chromeos", re.compile(r"CrOS")),
    ("linux", re.compile(r"Linux|X11")),
)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")
LONGEST = 512  # what is read of a user agent: a longer one says nothing more and costs time


def family(user_agent: str | None) -> str | None:
    """Return "browser/system" of a browser, the first product's name of anything else, None where none was sent.

    Versions are left out: half of all honest logins carry a user-agent string their account never showed before.

    >>> family("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    'firefox/linux'
    >>> family("curl/8.5.0")
    'curl'
    """
    if user_agent is None:
        return None
    text = user_agent[:LONGEST]
    browser = next((name for name, pattern in _BROWSERS if pattern.search(text)), None)
    if browser is None:
        product = _PRODUCT.match(text)
        return product.group().split("/")[0].lower() if product else "other"
    system = next((name for name, pattern in _SYSTEMS if pattern.search(text)), "other")
    return f"{browser}/{system}"
