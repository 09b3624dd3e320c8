"""An engine on a manual clock with the real tracker, fed frame by frame."""

from __future__ import annotations

from dataclasses import replace

from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.engine.outcome import StepOutcome
from gating.engine.peers import OfflinePeers
from gating.geometry.contours import box_contour
from gating.messages import ControlRequest, SourceKind
from gating.settings.config import Config, GatingSettings, HealthSettings, RecordingSettings, SafetySettings
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker as tracker_by_name
from gating.tracking.together import one_by_one
from tests.factories import INTERVAL_NS, START_NS, beam_status, frame, stream

BOX = box_contour(36, 36, 24, 24)
CONFIG = Config(
    gating=GatingSettings(resume_good_frames=2),
    safety=SafetySettings(arm_good_frames=3, max_beam_on_s=60),
    recording=RecordingSettings(required=False),
    health=HealthSettings(max_still_s=3600),
    overrides={"health.max_still_s": "one picture stands for the patient throughout a test, the tests"},
)


class Bench:
    """An engine with its clock, fed frame by frame."""

    def __init__(
        self,
        config: Config = CONFIG,
        *,
        targets=None,
        peers_required=True,
        arm_by_itself=True,
        make_tracker=None,
        kind=SourceKind.REPLAY,
        site="",
        together=one_by_one,
    ) -> None:
        self.clock = ManualClock(START_NS)
        self.kind = kind
        self.engine = Engine(
            config,
            targets or [TargetSpec("target", BOX)],
            make_tracker or (lambda: tracker_by_name(config.tracker, config.tracking)),
            self.clock,
            "s1",
            "e1",
            peers=None if peers_required else OfflinePeers(),
            arm_by_itself=arm_by_itself,
            site=site,
            together=together,
        )
        self.engine.warm_up()
        self.engine.open_stream(stream(source_kind=kind))

    def step(self, sequence: int, pixels=None, **overrides):
        self.clock.advance_to(START_NS + sequence * INTERVAL_NS + 1_000_000)
        self.engine.observe_beam(beam_status())
        self.newest = frame(sequence, pixels, **{"source_kind": self.kind} | overrides)
        outcome = self.engine.step(self.newest, self.clock.now_ns())
        return StepOutcome(outcome.command, [*self.engine.finish_frame(), *outcome.messages])

    def steps(self, count: int, start: int = 0):
        return [self.step(sequence) for sequence in range(start, start + count)]

    def ask(self, action: str, why: str = "", site: str = ""):
        asked = ControlRequest(session_id="s1", action=action, operator="dr_who", why=why, site=site)
        return self.engine.control(asked)

    def request(self, action: str, why: str = "", site: str = ""):
        return self.ask(action, why, site)[0]


def drawn_on(one, name="target", contour_px=BOX, **changes):
    """A target that was drawn on a frame, with that frame as its image."""
    image = TargetImage.of(one.header, one.pixels, one.header.content_hash)
    return TargetSpec(name, contour_px, image=replace(image, **changes))


def states(outcomes):
    return [outcome.command.state for outcome in outcomes]
