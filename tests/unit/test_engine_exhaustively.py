"""Every state of the engine that a few kinds of input can reach, visited once: how beam on comes about.

A breadth-first search over copies of the real engine with its real checks; only the tracker is told what to say. Two
engines count as the same if nothing that the decision depends on differs, so the search ends.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.geometry.contours import box_contour
from gating.geometry.plane import ImagePlane
from gating.messages import ControlRequest, EngineState, GateCommand, GateState, Message, SourceKind, StreamEnd
from gating.settings.config import Config, GatingSettings, RecordingSettings, SafetySettings
from gating.settings.sites import SiteSettings
from gating.stream import seen_images
from gating.targets.boundary import GatingBoundary
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.tracking.tracker import TrackResult, TrackStatus
from gating.wire.pixels import content_hash
from tests.factories import INTERVAL_NS, START_NS, beam_status, frame, stream

BOX = box_contour(36, 36, 24, 24)
SITES = tuple(SiteSettings(name=name, target=f"{name}.json") for name in ("here", "there"))
CONFIG = Config(
    sites=SITES,
    gating=GatingSettings(resume_good_frames=1),
    safety=SafetySettings(arm_good_frames=2),
    recording=RecordingSettings(required=False),
)
PIXELS = np.arange(96 * 96, dtype=np.uint16).reshape(96, 96)
TARGET = TargetSpec("target", BOX, image=TargetImage.of(stream(), PIXELS, content_hash(PIXELS)))


class SteadyTracker:
    """Sees the target where it was drawn."""

    def warm_up(self) -> None:
        pass

    def set_reference(self, pixels: Any, contour_px: Any, pixel_spacing_mm: Any) -> None:
        pass

    def track(self, pixels: Any, elapsed_s: float) -> TrackResult:
        return TrackResult(47.5, 47.5, 0.99, 0.9, TrackStatus.TRACKED, BOX.astype(np.float32), "", 1)


class Visit:
    """An engine, and what an onlooker has seen done to it."""

    def __init__(self, *, arm_by_itself: bool) -> None:
        self.clock = ManualClock(START_NS)
        self.engine = Engine(
            CONFIG,
            [TARGET],
            SteadyTracker,
            self.clock,
            "s1",
            "e1",
            arm_by_itself=arm_by_itself,
            site="here",
        )
        self.by_itself = arm_by_itself
        self.sequence = 0
        self.declared: SourceKind | None = None
        self.latched = self.acknowledged = self.armed = self.confirmed = False
        self.command: GateCommand | None = None

    def frame(self, **overrides: Any) -> None:
        self.clock.advance_to(START_NS + self.sequence * INTERVAL_NS + 1_000_000)
        self.engine.observe_beam(beam_status())
        kind = self.declared or SourceKind.PHANTOM
        pixels = PIXELS + np.uint16(self.sequence % 5000)
        sent = frame(self.sequence, pixels, **{"source_kind": kind} | overrides)
        self.saw(self.engine.step(sent, self.clock.now_ns()).command)
        self.engine.finish_frame()
        self.sequence += 1

    def declare(self, kind: SourceKind = SourceKind.PHANTOM, **overrides: Any) -> None:
        self.engine.open_stream(stream(source_kind=kind, **overrides))
        self.declared = self.declared or (None if overrides else kind)
        self.saw(self.engine.tick().command)

    def ask(self, action: str, session: str = "s1", site: str = "") -> None:
        request = ControlRequest(session_id=session, action=action, operator="dr_who", why="seen", site=site)
        accepted = self.engine.control(request)[0].accepted
        assert not (accepted and session != "s1")
        self.acknowledged |= accepted and action == "acknowledge"
        if accepted:
            self.armed = action == "arm" or (self.armed and action == "confirm")
            self.confirmed = action == "confirm" or (self.confirmed and action != "site")
            if action == "site":  # as after a latch that has been acknowledged
                self.latched = self.acknowledged = True
        self.saw(self.engine.tick().command)

    def end(self, session: str) -> None:
        end = StreamEnd(session_id=session, source="t", frames_published=1, why="")
        self.saw(self.engine.close_stream(end).command)

    def saw(self, command: GateCommand) -> None:
        self.command = command
        if command.engine_state is EngineState.LATCHED:
            self.latched, self.acknowledged, self.armed, self.confirmed = True, False, False, False
        if command.engine_state is EngineState.READY:
            self.armed = False

    def key(self) -> tuple[Any, ...]:
        engine: Any = self.engine
        intake, decision = vars(engine)["_intake"], vars(engine)["_decision"]
        memory = vars(intake.stream)["_memory"]
        newest = None if memory is None or memory.newest is None else self.sequence - memory.newest.sequence
        held = [fault and fault.reason for fault in (intake.fault, intake.unlearned, vars(engine)["_life"].latched_by)]
        return (
            engine.state,
            *held,
            intake.stream.declared is None,
            intake.stream.source_kind,
            min(intake.healthy_in_a_row, 2),
            decision.state,
            min(decision.good_frames, 1),
            newest and min(newest, 2),
            memory is None,
            memory is None or memory.anchor is None,
            vars(engine)["_operators"].arm_by_itself,
            bool(vars(engine)["_operators"].confirmed_by),
            (self.declared, self.latched, self.acknowledged, self.armed, self.confirmed),
        )


ASKED = ("confirm", "arm", "disarm", "acknowledge")


class Input(NamedTuple):
    name: str
    give: Callable[[Visit], None]


INPUTS = (
    Input("warm up", lambda visit: visit.engine.warm_up()),
    Input("declare a phantom", lambda visit: visit.declare()),
    Input("declare a live stream", lambda visit: visit.declare(SourceKind.LIVE)),
    Input("declare in another session", lambda visit: visit.declare(session_id="s2")),
    Input("declare differently", lambda visit: visit.declare(pixel_spacing_mm=(1.0, 1.0))),
    Input("good frame", lambda visit: visit.frame()),
    Input("frame of another session", lambda visit: visit.frame(session_id="s2")),
    Input("frame of another kind", lambda visit: visit.frame(source_kind=SourceKind.REPLAY)),
    Input("frame that moved", lambda visit: visit.frame(image_position_mm=(9.0, 0.0, 0.0))),
    Input("frame out of time", lambda visit: visit.frame(acquired_on_publish_clock_ns=1)),
    Input("garbage", lambda visit: visit.saw(visit.engine.refuse("header is 9 bytes").command)),
    Input("exception", lambda visit: visit.saw(visit.engine.latch_internal_error("ZeroDivisionError").command)),
    Input("end of stream", lambda visit: visit.end("s1")),
    Input("end of another stream", lambda visit: visit.end("s2")),
    *(Input(action, lambda visit, action=action: visit.ask(action)) for action in ASKED),
    Input("leave for another site", lambda visit: visit.ask("site", site="there")),
    *(Input(f"foreign {action}", lambda visit, action=action: visit.ask(action, "s2")) for action in ("arm", "stop")),
)


def beam_on_is_justified(visit: Visit, path: tuple[str, ...]) -> None:
    command = visit.command
    if command is None or command.state is not GateState.ON:
        return
    assert command.engine_state is EngineState.ARMED, path
    assert visit.declared is not None, f"beam on without a declared stream: {path}"
    assert command.source_kind is visit.declared, f"beam on under another kind of source: {path}"
    if visit.latched:
        assert visit.acknowledged, f"beam on after a latch without an acknowledgement: {path}"
        assert visit.armed, f"beam on after a latch without arming: {path}"
    if visit.declared is SourceKind.LIVE or not visit.by_itself:
        assert visit.armed, f"beam on without an operator: {path}"
    if visit.declared is SourceKind.LIVE:
        assert visit.confirmed, f"beam on with a contour that nobody has confirmed: {path}"


NEVER_CHANGE = (Config, GatingBoundary, ImagePlane, Message, TargetSpec)
"""What copies of an engine share: frozen records, and the cells of a boundary with the scratch of their measurement."""


@pytest.fixture
def is_copied_quickly(monkeypatch):
    """The engine is copied at every step, and with it the tables of its images, but nothing that never changes."""
    monkeypatch.setattr(seen_images, "IMAGES", 1 << 8)
    monkeypatch.setattr(seen_images, "SAMPLED_IMAGES", 1 << 6)
    for kind in NEVER_CHANGE:
        monkeypatch.setattr(kind, "__deepcopy__", lambda self, _: self, raising=False)


@pytest.mark.usefixtures("is_copied_quickly")
@pytest.mark.parametrize("by_itself", [pytest.param(False, id="by operator"), pytest.param(True, id="by itself")])
def test_no_path_leads_to_beam_on_without_what_justifies_it(by_itself):
    first = Visit(arm_by_itself=by_itself)
    seen = {first.key()}
    waiting: deque[tuple[Visit, tuple[str, ...]]] = deque([(first, ())])
    reached: Counter[tuple[GateState, SourceKind | None]] = Counter()
    while waiting:
        visit, path = waiting.popleft()
        for name, give in INPUTS:
            following = copy.deepcopy(visit)
            give(following)
            steps = (*path, name)
            beam_on_is_justified(following, steps)
            reached[following.command.state if following.command else GateState.HOLD, following.declared] += 1
            if following.key() not in seen:
                seen.add(following.key())
                waiting.append((following, steps))
    assert reached[GateState.ON, SourceKind.PHANTOM] > 10
    assert reached[GateState.ON, SourceKind.LIVE] > 10
    assert len(seen) > 100
