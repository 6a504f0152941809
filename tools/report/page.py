"""One self-contained HTML file of one JSON document: no network, no server, no framework.

The page's own parts lie in web/ and are put into the file as they are. The document is data to the
page, never markup: what it holds of files' texts enters the page as text.
"""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

WEB = Path(__file__).with_name("web")
SCRIPTS = (
    *("elements", "tables", "skeletons", "overview", "curves"),
    *("gallery", "views", "maps", "classes", "start"),
)
"""In this order: a script uses those before it, and `start` all."""
MOST_BYTES = 5_000_000
"""What a report may have, so that it can be mailed."""


def render(document: dict[str, Any]) -> str:
    """Make the page of a document.

    Args:
        document: as `tools.report.collect.collect` makes it: plain values only.

    Returns:
        The HTML text.

    Raises:
        ValueError: a number that is not finite, which JSON does not have.
    """
    parts = "\n".join(_part(f"{name}.js") for name in SCRIPTS).strip()
    script = f'"use strict";\n{parts}'
    parts = {
        "title": html.escape(document["title"]),
        "style": _part("page.css"),
        "script": script,
        "script hash": _digest(f"\n{script}\n"),  # as it stands between its tags
        "data": as_data(document),
    }
    return re.sub(r"\{\{([a-z ]+)\}\}", lambda found: parts[found[1]], _part("page.html"))


def as_data(document: dict[str, Any]) -> str:
    """Write JSON that no text inside can end: `<`, `>` and `&` are escaped."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _part(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """Only the page's own script may run: its hash for the page's policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
