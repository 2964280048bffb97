"""What every picture is made of: elements whose text and attributes may hold anything."""

from collections.abc import Mapping
from html import escape

from riskengine.visible import visible_lines


def element(name: str, attributes: Mapping[str, str | float], text: str = "") -> str:
    """Return one element; text and attributes may hold anything.

    >>> element("text", {"x": 1.25}, "a < b")
    '<text x="1.25">a &lt; b</text>'
    """
    spelled = "".join(
        f' {key}="{clean(value) if isinstance(value, str) else number(value)}"' for key, value in attributes.items()
    )
    return f"<{name}{spelled}>{clean(text)}</{name}>" if text else f"<{name}{spelled}/>"


def clean(text: str) -> str:
    """Return text as it stands in a picture, whatever it holds."""
    return escape(visible_lines(text))


def number(value: float) -> str:
    """Return a number as short as a hundredth lets it be."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
