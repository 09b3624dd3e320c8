"""A session log keeps the images in which its targets were drawn: to verify it, and to go on with the targets."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from cinegate.targets import named_targets
from gating.analysis.logged_targets import session_targets
from gating.decision.reasons import GateReason
from gating.messages import CineFrame, GateCommand, GateState, SourceKind
from gating.session.log import SessionError, read_session
from gating.targets.spec import TargetSpec
from tests.engine_bench import BOX, Bench, drawn_on
from tests.factories import anatomy, frame
from tests.logged_engine import LoggedEngine

REFERENCE = frame(0, anatomy(seed=77))


def logged(path, **how):
    engine = LoggedEngine(path / "s1.mcap", **how)
    engine.declare()
    return engine


def commands(path):
    return [message for _, _, message in read_session(path) if isinstance(message, GateCommand)]


def test_a_live_session_with_a_confirmed_target_is_verified(tmp_path):
    session = logged(tmp_path, target=drawn_on(REFERENCE), kind=SourceKind.LIVE)
    session.frames(0, 10)
    assert session.ask("confirm").accepted
    assert session.ask("arm").accepted
    session.frames(10, 6)
    found = session.verified()
    assert (found.first_difference, found.frames) == ("", 16)
    assert GateState.ON in [command.state for command in commands(session.writer.path)]


def test_a_live_log_of_a_version_without_images_is_verified(tmp_path):
    session = logged(tmp_path, kind=SourceKind.LIVE, requires_binding=False)
    session.frames(0, 10)
    assert session.ask("arm").accepted
    session.frames(10, 6)
    assert session.verified().first_difference == ""
    assert GateState.ON in [command.state for command in commands(session.writer.path)]


def test_a_session_goes_on_with_the_image_of_its_target(tmp_path):
    session = logged(tmp_path, target=drawn_on(REFERENCE))
    session.frames(0, 8)
    session.writer.close()
    (target,) = named_targets(session.writer.path)
    np.testing.assert_array_equal(target.contour_px, BOX)
    np.testing.assert_array_equal(target.image.pixels, REFERENCE.pixels)
    assert target.image.mismatch(REFERENCE.header) is None


def test_a_target_that_was_drawn_in_a_frame_goes_on_with_that_frame(tmp_path):
    session = logged(tmp_path)
    session.frames(3, 8)
    session.writer.close()
    (target,) = session_targets(session.writer.path)
    frames = [message for _, _, message in read_session(session.writer.path) if isinstance(message, CineFrame)]
    assert target.image.content_hash == frames[0].header.content_hash


def test_an_engine_that_goes_on_with_a_log_keeps_the_old_boundary(tmp_path):
    session = logged(tmp_path)
    session.frames(0, 8)
    session.writer.close()
    bench = Bench(targets=session_targets(session.writer.path))
    held = [bench.step(n, anatomy(seed=100 + n, shift=10.0)).command for n in range(12)]
    assert {command.state for command in held} == {GateState.HOLD}
    assert held[-1].reason is GateReason.OUT_OF_WINDOW


def test_a_log_whose_image_is_missing_is_refused_with_its_hash(tmp_path):
    session = logged(tmp_path, target=drawn_on(REFERENCE))
    session.log_images = lambda: None
    session.frames(0, 8)
    session.writer.close()
    with pytest.raises(SessionError, match=f"image {REFERENCE.header.content_hash} of target is not in the log"):
        session_targets(session.writer.path)


def test_a_log_whose_image_was_changed_is_refused(tmp_path):
    session = logged(tmp_path, target=drawn_on(REFERENCE))
    session.frames(0, 8)
    session.writer.close()
    log = session.writer.path.read_bytes()
    row = REFERENCE.pixels[10].tobytes()
    assert log.count(row) == 1
    session.writer.path.write_bytes(log.replace(row, row[::-1]))
    with pytest.raises(SessionError, match="not as it was written, so its targets cannot be used: seal 1"):
        session_targets(session.writer.path)


def test_a_log_whose_contour_was_changed_is_refused(tmp_path):
    session = logged(tmp_path, target=drawn_on(REFERENCE))
    session.frames(0, 8)
    session.writer.close()
    log = session.writer.path.read_bytes()
    x, moved = (b"\xcb" + struct.pack(">d", value) for value in (BOX[0][0], BOX[0][0] + 8))
    session.writer.path.write_bytes(log.replace(x, moved))
    with pytest.raises(SessionError, match="not as it was written"):
        session_targets(session.writer.path)


def test_a_log_without_a_target_is_refused(tmp_path):
    session = logged(tmp_path, target=TargetSpec("target", BOX), kind=SourceKind.LIVE)
    session.frames(0, 3)
    session.writer.close()
    with pytest.raises(SessionError, match="holds no target"):
        session_targets(session.writer.path)
