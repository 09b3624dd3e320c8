"""What logs, files and peers say is shown as text: it neither styles, nor ends, nor steers what is on the screen."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from cinegate.verbs.app import CommandError, run_app
from cinegate.verbs.screen import Screen
from cinegate.verbs.terminal import PlainConsole, plain
from gating.messages import Event

HOSTILE = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cc", "Cs"])),
    st.sampled_from(
        ["[/oops]", "[red]", "[link=file:///]x", ":boom:", "\x1b]0;owned\x07", "\x9b2J", "a\rb", "\u202egpj"]
    ),
)


def printed(thing: object) -> str:
    console = PlainConsole()
    console.file = file = io.StringIO()
    console.print(thing)
    return file.getvalue()


def steers(shown: str) -> bool:
    return any((char < " " and char not in "\n\t") or "\x7f" <= char <= "\x9f" for char in shown)


@given(HOSTILE)
def test_a_hostile_sentence_is_printed_without_controls(text: str) -> None:
    printed(text).encode()
    assert not steers(printed(text))


@given(HOSTILE)
def test_hostile_cells_and_titles_are_printed_without_controls(text: str) -> None:
    table = Table(text, title=text)
    table.add_row(text)
    table.add_row(Text(text, style="red"))
    assert not steers(printed(table))


@given(HOSTILE)
def test_a_hostile_event_and_name_leave_the_live_table_whole(text: str) -> None:
    screen = Screen(text, 10)
    screen.hear(Event(session_id="s1", role="engine", severity="info", code="note", text=text, at_ns=0))
    assert not steers(printed(screen.table()))


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    assert printed("target [/oops] :boom: [red]held[/]") == "target [/oops] :boom: [red]held[/]\n"


@given(HOSTILE)
def test_plain_text_has_no_controls_and_keeps_its_length(text: str) -> None:
    assert not steers(plain(text))
    assert len(plain(text)) == len(text)


NAME = "the_beam_interface_was_restarted_while_the_beam_was_on"


def table_of_names() -> Table:
    table = Table("family", "fault", "reaction", "reason", "off ms")
    table.add_row("beam_interface", NAME, "latches at once", "interface_changed", "12.3")
    return table


def test_a_name_in_a_table_is_whole_in_a_pipe() -> None:
    assert NAME in printed(table_of_names())


def test_a_name_in_a_table_is_not_cut_at_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # so that it is taken for a terminal
    monkeypatch.setenv("COLUMNS", "80")
    lines = Text.from_ansi(printed(table_of_names())).plain.splitlines()
    assert max(map(len, lines)) == 80
    assert "".join(line.split("│")[2].strip() for line in lines if line.count("│") > 3) == NAME


def test_names_in_the_first_columns_are_not_broken_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    table = Table("family", "fault", "injected", "reaction", "reason", "bound")
    table.add_row("stream", "every_third_frame_dropped", "Every third frame never leaves.", "hold", "a_gap", "stale")
    assert "every_third_frame_dropped" in printed(table)


def test_a_sentence_in_a_pipe_is_one_line() -> None:
    assert printed("word " * 60).count("\n") == 1


def test_the_sentence_of_an_error_reaches_the_terminal_plain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise CommandError("target \x1b]0;owned\x07[/oops] is unknown")

    monkeypatch.setattr(sys, "argv", ["cinegate"])
    monkeypatch.setattr("cinegate.verbs.app.app", fail)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit):
        run_app(lambda: None)
    assert capsys.readouterr().err == "cinegate: target \ufffd]0;owned\ufffd[/oops] is unknown\n"
