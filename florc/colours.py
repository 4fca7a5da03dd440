"""A report with colours, for a terminal: the same text, by rich."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

STYLES = {
    r"(?m)^\S.*?:\d+(?=: )": "bold",
    r"(?m)^  [a-z]+(?: [a-z]+)?(?=  |$)": "cyan",
    r"`[^`\n]+`": "bold",
    r"\bassumed\b": "yellow",
    r"(?m)^  jump +no: .*$": "yellow",
    r"\bFLR\d{3}\b.*": "yellow",
}


def coloured(report: str) -> str:
    """`report` with escape sequences; nothing else is changed."""
    text = Text(report)
    for pattern, style in STYLES.items():
        text.highlight_regex(pattern, style)
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", soft_wrap=True
    )
    with console.capture() as captured:
        console.print(text, end="", highlight=False)
    return captured.get()
