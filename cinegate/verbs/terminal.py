"""What reaches the terminal. Names, reasons and sentences come from logs, files and peers: they are text, never orders.

Every table and sentence for people passes `PlainConsole`, so that no verb has to remember it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

LEAST_WIDTH: Final = 8
"""Characters that every column of a table keeps before an earlier one gets room for its longest word."""
_NO_TERMINAL: Final = ConsoleDimensions(10_000, 25)
"""Wide enough for any line: a file or a program reads it, and nothing is wrapped or cut for it."""
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 control characters but tab and line feed, line separators, direction overrides, and lone surrogates."""


def plain(text: str) -> str:
    """Return text without the characters that a terminal obeys instead of showing; each becomes U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


class PlainConsole(Console):
    """A console that takes text as text: no markup, no emoji codes, no control characters. `Text` has the colours.

    It cuts nothing: a table that is too wide for the terminal folds its cells, and what is no terminal has any width.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    @property
    def size(self) -> ConsoleDimensions:
        """The terminal's size; without one, wide enough for everything."""
        return super().size if self.is_terminal else _NO_TERMINAL

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def render_str(self, text: str, **how: Any) -> Text:
        """Replace control characters before a string is measured, so that tables keep their columns."""
        return super().render_str(plain(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Replace control characters in whatever else is shown; rich's own orders to the cursor pass."""
        if isinstance(renderable, Table):
            _keep_whole(renderable, self.width)
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


def _keep_whole(table: Table, width: int) -> None:
    """Have a table fold what does not fit, and keep its words whole, first those of its first columns."""
    cells = [[str(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    wanted = [max(len(line) for cell in column for line in [*cell.splitlines(), ""]) for column in cells]
    longest = [max(len(word) for cell in column for word in [*cell.split(), ""]) for column in cells]
    left = width - 3 * len(cells) - 1
    widths = []
    for number, words in enumerate(longest):
        later = sum(min(LEAST_WIDTH, other) for other in longest[number + 1 :])
        widths.append(max(1, min(words, left - later)))
        left -= widths[-1]
    for column, whole, least in zip(table.columns, wanted, widths, strict=True):
        column.overflow = "fold"
        if sum(wanted) > width - 3 * len(cells) - 1:
            column.width = least + max(0, min(left, whole - least))
            left -= column.width - least
