"""What all pages share: how templates are read, and what they may use."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gmembench.reports import formatting, theme


def environment() -> Environment:
    """Templates that escape all text; `light` and `dark` are the variables of both kinds of paper."""
    found = Environment(
        loader=PackageLoader("gmembench.reports"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters["count"] = formatting.count
    found.filters["ratio"] = formatting.ratio
    found.globals["light"] = theme.variables({})
    found.globals["dark"] = theme.variables({}, dark=True)
    return found


def data_text(data: Mapping[str, Any]) -> Markup:
    """Data as JSON for an element `script` of the page: no text in it can end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - what could be markup is written as numbers


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Name -> a word for links and names of files: letters, digits and hyphens, each its own."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-").lower()[:60] or "cell"
        word, number = plain, 2
        while word in found.values():
            word, number = f"{plain}-{number}", number + 1
        found[name] = word
    return found
