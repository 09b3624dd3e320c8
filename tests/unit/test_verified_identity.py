"""Verification follows an engine that held because of an undeclared stream, or of another session's messages."""

from __future__ import annotations

import pytest

from tests.factories import stream
from tests.logged_engine import LoggedEngine


@pytest.fixture
def logged(tmp_path):
    return LoggedEngine(tmp_path / "s1.mcap")


def is_the_same(found):
    assert (found.first_difference, found.differences) == ("", 0)
    assert found.frames == 12


def test_frames_before_the_declaration_are_held_again(logged):
    logged.frames(0, 3)
    logged.declare()
    logged.frames(3, 9)
    is_the_same(logged.verified())


def test_a_declaration_of_another_session_latches_again(logged):
    logged.declare()
    logged.frames(0, 10)
    logged.declare(session_id="s2")
    logged.frames(10, 2)
    is_the_same(logged.verified())


def test_the_end_of_another_session_latches_again(logged):
    logged.declare()
    logged.frames(0, 10)
    logged.end(session_id="s2")
    logged.frames(10, 2)
    is_the_same(logged.verified())


def test_a_foreign_declaration_is_not_taken_for_the_own_one(logged):
    logged.log(stream(session_id="s2", source="another"))
    logged.declare()
    logged.frames(0, 12)
    is_the_same(logged.verified())
