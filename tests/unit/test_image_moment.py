"""The moment that an image shows: the centre of k-space, whatever a source's stamps mark."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from drivers.ports import FrameStamp
from drivers.pump import Pump
from gating.clocks.clock import ManualClock
from gating.clocks.image_moment import ImageMoment
from gating.clocks.offset import UNKNOWN_NS, OffsetEstimator
from gating.messages import FrameHeader, SourceKind, StampMeaning, StreamInfo
from tests.factories import stream

MS = 1_000_000
INTERVAL_NS = 240 * MS
NOW_NS = 10**12
MEASURED = ImageMoment(acquisition_ns=100 * MS, reconstruction_ns=60 * MS)
STAMPED = (StampMeaning.START, StampMeaning.END, StampMeaning.RECONSTRUCTED)


def stamps_of(acquisition_ns: np.ndarray, reconstruction_ns: int) -> dict[StampMeaning, np.ndarray]:
    """Where each stamp lies relative to the centre of k-space, for acquisitions of some durations."""
    return {
        StampMeaning.START: -acquisition_ns // 2,
        StampMeaning.END: acquisition_ns // 2,
        StampMeaning.RECONSTRUCTED: acquisition_ns // 2 + reconstruction_ns,
    }


@pytest.mark.parametrize("meaning", STAMPED)
@pytest.mark.parametrize("is_measured", [True, False])
def test_the_moment_lies_within_its_uncertainty(meaning: StampMeaning, is_measured: bool) -> None:
    durations_ns = np.random.default_rng(7).integers(1, INTERVAL_NS, 1000)
    reconstruction_ns = 60 * MS
    for duration_ns, stamp_ns in zip(
        durations_ns.tolist(), stamps_of(durations_ns, reconstruction_ns)[meaning].tolist(), strict=True
    ):
        moment = ImageMoment(duration_ns if is_measured else None, reconstruction_ns)
        after_ns, uncertainty_ns = moment.after_stamp(meaning, INTERVAL_NS)
        assert abs(stamp_ns + after_ns) <= uncertainty_ns + 1
        assert uncertainty_ns == 0 or not is_measured


def test_no_duration_makes_a_start_younger_than_half_an_interval_allows() -> None:
    after_ns, uncertainty_ns = ImageMoment(2000 * MS).after_stamp(StampMeaning.START, INTERVAL_NS)
    assert after_ns - uncertainty_ns <= INTERVAL_NS // 2


@pytest.mark.parametrize("meaning", [StampMeaning.KSPACE_CENTRE, StampMeaning.ARRIVAL])
def test_a_stamp_of_the_centre_or_of_the_arrival_stays(meaning: StampMeaning) -> None:
    assert ImageMoment().after_stamp(meaning, INTERVAL_NS) == (0, 0)


@pytest.mark.parametrize(
    ("moment", "interval_ns"), [(ImageMoment(100 * MS), INTERVAL_NS), (ImageMoment(None, 60 * MS), 0)]
)
def test_a_reconstruction_that_was_not_measured_is_unknown(moment: ImageMoment, interval_ns: int) -> None:
    assert moment.after_stamp(StampMeaning.RECONSTRUCTED, interval_ns)[1] == UNKNOWN_NS


class Silent:
    """A live source whose frames the test sends itself."""

    def open(self) -> StreamInfo:
        return stream(shape=(16, 16), source_kind=SourceKind.LIVE, nominal_interval_ns=INTERVAL_NS)

    def read_into(self, pixels: np.ndarray, timeout_ms: int) -> FrameStamp | None:
        return None

    def close(self) -> None:
        pass


@pytest.fixture
def published(tmp_path) -> Iterator[Callable[..., FrameHeader]]:
    pumps = []

    def published(moment: ImageMoment, meaning: StampMeaning, **stamp) -> FrameHeader:
        pump = Pump(Silent(), "s1", "", ManualClock(NOW_NS), OffsetEstimator(), moment)
        pump.open(f"ipc://{tmp_path}/{len(pumps)}", None)
        pumps.append(pump)
        given = FrameStamp(5, NOW_NS, "sagittal", meaning, acquired_on_host_ns=NOW_NS - 300 * MS, **stamp)
        return pump.send_frame(np.zeros((16, 16), np.uint16), given)

    yield published
    for pump in pumps:
        pump.close()


@pytest.mark.parametrize(("meaning", "after_ms"), list(zip(STAMPED, (50, -50, -110), strict=True)))
def test_a_frame_is_published_with_the_centre_of_k_space(published, meaning: StampMeaning, after_ms: int) -> None:
    header = published(MEASURED, meaning)
    assert header.acquired_on_publish_clock_ns == NOW_NS + (after_ms - 300) * MS
    assert (header.acquired_ns, header.acquired_meaning, header.age_uncertainty_ns) == (5, meaning, 0)


def test_an_end_of_unknown_duration_ages_by_half_an_interval(published) -> None:
    header = published(ImageMoment(), StampMeaning.END)
    oldest_ns = header.acquired_on_publish_clock_ns - header.age_uncertainty_ns
    assert oldest_ns == NOW_NS - 300 * MS - INTERVAL_NS // 2


def test_a_moment_that_was_moved_already_is_not_moved_again(published) -> None:
    header = published(MEASURED, StampMeaning.START, moment_uncertainty_ns=7)
    assert header.acquired_on_publish_clock_ns == NOW_NS - 300 * MS
    assert header.moment_uncertainty_ns == 7
