"""What the checks for still and repeated images see: false alarms on real recordings, and power on frozen ones.

python -m bench.still_images FOLDER      FOLDER holds recordings (.npz with `frames` and `t_s`), as ../shared/data does
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.stream.seen_images import SeenImages
from gating.stream.stillness import Stillness
from gating.wire.pixels import content_hash

Images = NDArray[Any]
END_EXHALE_SHARE: Final = 0.3
"""Share of a recording's frames that are nearest to the most frequent phase of breathing."""
FREEZE_AT_S: Final = 3.0
MAX_STILL_S: Final = 30.0
FROZEN_S: Final = 35.0


def breath_hold(frames: Images, t_s: NDArray[np.float64], seconds: float, noise: float, seed: int = 0) -> Images:
    """Return a breath-hold made of a recording of free breathing.

    It shows the frames near end-exhalation one after another, with their own noise, vessels and heartbeat, and white
    noise on top.

    Parameters
    ----------
    frames, t_s
        The recording, (n, rows, columns), and its stamps, s.
    seconds
        Duration. Where the recording has too few such frames, they come again under other noise.
    noise
        Standard deviation of the added noise, as a multiple of the recording's own.
    """
    chosen = frames[_end_exhale(frames)]
    count = round(seconds / float(np.median(np.diff(t_s))))
    held = chosen[np.arange(count) % len(chosen)].astype(np.float32)
    held += np.random.default_rng(seed).normal(0, noise * own_noise(chosen), held.shape).astype(np.float32)
    return np.clip(np.rint(held), 0, np.iinfo(frames.dtype).max).astype(frames.dtype)


def own_noise(frames: Images) -> float:
    """Return the noise of a recording, from the differences of frames of one phase; at least half a grey level."""
    changes = np.diff(frames[:50].astype(np.float32), axis=0)
    return max(0.5, float(1.4826 * np.median(np.abs(changes - np.median(changes))) / np.sqrt(2)))


def _end_exhale(frames: Images) -> NDArray[np.intp]:
    small = [cv2.resize(frame.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA).ravel() for frame in frames]
    centred = np.array(small) - np.mean(small, axis=0)
    phase = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    counts, edges = np.histogram(phase, 20)
    most_frequent = edges[counts.argmax() : counts.argmax() + 2].mean()
    return np.sort(np.argsort(np.abs(phase - most_frequent))[: round(END_EXHALE_SHARE * len(frames))])


def alarms(frames: Iterable[Images], t_s: Iterable[float], max_still_s: float) -> Iterator[bool]:
    """Yield, frame by frame, whether the checks would hold the beam."""
    seen, stillness = None, Stillness()
    for number, (frame, at_s) in enumerate(zip(frames, t_s, strict=False)):
        pixels = np.ascontiguousarray(frame)
        seen = seen or SeenImages((pixels.shape[0], pixels.shape[1]))
        digest = content_hash(pixels)
        exact = seen.same(digest, number)
        alike = seen.add(pixels, digest, number)
        stillness.observe(pixels, round(at_s * 1e9))
        yield exact is not None or alike is not None or stillness.fault(max_still_s) is not None


def longest_still_s(frames: Images, t_s: Iterable[float]) -> float:
    """Return the longest time in which nothing but independent noise changed, s."""
    stillness, longest_s = Stillness(), 0.0
    for frame, at_s in zip(frames, t_s, strict=False):
        stillness.observe(frame, round(at_s * 1e9))
        longest_s = max(longest_s, stillness.still_s)
    return longest_s


def _counted(image: Images, number: int) -> Images:
    image[0, 0] = number % 256
    return image


def _four_rows(image: Images, number: int) -> Images:
    middle = len(image) // 2
    image[middle : middle + 4] += np.random.default_rng(number).integers(0, 2, (4, image.shape[1])).astype(image.dtype)
    return image


def _noisy(image: Images, number: int, noise: float) -> Images:
    noisy = image + np.random.default_rng(number).normal(0, noise, image.shape)
    return np.clip(np.rint(noisy), 0, np.iinfo(image.dtype).max).astype(image.dtype)


def frozen(frames: Images, paint: Callable[[Images, int], Images], loop: int, count: int) -> Iterator[Images]:
    """Yield `count` images: the last `loop` of `frames` in turn, each painted over by its number."""
    return (paint(frames[-loop:][number % loop].copy(), number) for number in range(count))


def held_after_s(frames: Images, interval_s: float, paint: Callable[[Images, int], Images], loop: int) -> float | None:
    """Return how long after a freeze the checks hold the beam, s; None if they do not."""
    before = round(FREEZE_AT_S / interval_s)
    shown = [*frames[:before], *frozen(frames[:before], paint, loop, round(FROZEN_S / interval_s))]
    t_s = [number * interval_s for number in range(len(shown))]
    held = list(alarms(shown, t_s, MAX_STILL_S))[before:]
    return held.index(True) * interval_s if True in held else None


def _row(path: Path) -> str:
    with np.load(path) as recording:
        frames, t_s = recording["frames"], recording["t_s"]
    interval_s = float(np.median(np.diff(t_s)))
    count = sum(alarms(frames, t_s, MAX_STILL_S))
    cells = [path.stem, f"{t_s[-1] - t_s[0]:.0f} s", str(count), f"{longest_still_s(frames, t_s):.2f} s"]
    for noise in (0.0, 1.0, 2.0):
        held = breath_hold(frames, t_s, 20.0, noise)
        cells.append(f"{longest_still_s(held, np.arange(len(held)) * interval_s):.2f} s")
    white = own_noise(frames[_end_exhale(frames)])
    few = frames[:: max(1, round(0.1 / interval_s))]
    few_s = interval_s * max(1, round(0.1 / interval_s))
    for paint, loop in (
        (_counted, 1),
        (_four_rows, 1),
        (lambda image, _: image, 17),
        (_counted, 17),
        (lambda image, number: _noisy(image, number, white), 1),
    ):
        after_s = held_after_s(few, few_s, paint, loop)
        cells.append("not" if after_s is None else f"{after_s:.1f} s")
    return f"| {' | '.join(cells)} |"


def main(folder: str) -> None:
    """Print the table of `docs/safety.md`."""
    columns = "recording | length | alarms | longest still | breath-hold | + noise | + 2 noise | counter | four rows"
    print(f"| {columns} | loop of 17 | with a counter | fresh noise |")
    print("|" + "---|" * 12)
    for path in sorted(Path(folder).glob("*/*.npz")):
        print(_row(path), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
