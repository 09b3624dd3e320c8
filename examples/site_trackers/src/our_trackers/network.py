"""A network as tracker: an ONNX file with the inputs and outputs below, run by ONNX Runtime on the processor.

All are float32; rows and columns may be fixed in the file or free.

=================== ======================= ==========================================================
input               shape                   what
=================== ======================= ==========================================================
``frame``           (1, 1, rows, columns)   the frame, scaled as the reference frame is
``reference_frame`` (1, 1, rows, columns)   the frame that the target was drawn in: mean 0, deviation 1
``reference_mask``  (1, 1, rows, columns)   1 inside the target, else 0
=================== ======================= ==========================================================

=================== ======================= ==========================================================
output              shape                   what
=================== ======================= ==========================================================
``target_mask``     (1, 1, rows, columns)   probability that the pixel is the target's, 0 to 1
``confidence``      (1,)                    probability that the centre is within 2 mm of the truth
=================== ======================= ==========================================================
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid, contour_from_mask, mask_from_contour
from gating.tracking.reference import checked_frame, checked_target
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackResult, TrackStatus

INPUTS: Final = ("frame", "reference_frame", "reference_mask")
OUTPUTS: Final = ("target_mask", "confidence")
BUDGET_MS: Final = 25.0
"""Half of what the engine allows a decision (`decision.max_ms` of gating/latency/budgets.toml)."""
OWN_FRAME_DICE: Final = 0.8
"""So much of the target the network must find in the very frame that it was drawn in."""
EMPTY: Final = np.empty((0, 2), np.float32)


def our_network(settings: TrackerSettings) -> NetworkTracker:
    """Make the tracker of the network that `$OUR_NETWORK` names."""
    return NetworkTracker(settings, Path(os.environ.get("OUR_NETWORK", "network.onnx")))


class NetworkTracker:
    """Follows one target by a network. Raises `TrackingError` where the network or the target cannot be used."""

    def __init__(self, settings: TrackerSettings, file: Path) -> None:
        self._settings, self._file = settings, file
        self._session: Any = None
        self._reference: dict[str, NDArray[np.float32]] = {}

    def warm_up(self) -> None:
        """Load the network and run it once, so that no frame waits for either."""
        self._session = load_network(self._file)
        fixed = [side if isinstance(side, int) else 256 for side in self._session.get_inputs()[0].shape[2:]]
        frame, mask = np.random.default_rng(0).normal(size=fixed), np.zeros(fixed)
        mask[fixed[0] // 3 : fixed[0] // 2, fixed[1] // 3 : fixed[1] // 2] = 1
        self._run({name: np.float32(mask if "mask" in name else frame)[None, None] for name in INPUTS})

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Learn the target; the network must find it in this frame, within the budget. Raises `TrackingError`."""
        if self._session is None:
            self.warm_up()
        frame = checked_frame(pixels)
        mask = mask_from_contour(checked_target(contour_px, frame.shape), frame.shape)
        self._reference = {}
        self._shape, self._mean, self._deviation = frame.shape, float(frame.mean()), float(frame.std())
        scaled = self._scaled(frame)
        reference = {"reference_frame": scaled, "reference_mask": mask[None, None].astype(np.float32)}
        self._check({"frame": scaled, **reference}, mask)
        self._reference = reference

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Ask the network where the target is; never raises, whatever the pixels hold."""
        if not self._reference:
            return refused("no reference has been set")
        try:
            frame = checked_frame(pixels, self._shape)
            probability, confidence = self._run({"frame": self._scaled(frame), **self._reference})
        except (TrackingError, RuntimeError) as error:
            return refused(str(error))
        found = probability > 0.5
        if not found.any():
            return refused("the network finds no pixel of the target")
        contour = contour_from_mask(found)
        sure = confidence >= self._settings.min_confidence
        status = TrackStatus.TRACKED if sure else TrackStatus.LOW_CONFIDENCE
        detail = "" if sure else f"the network's confidence {confidence:.2f} is below {self._settings.min_confidence:g}"
        return TrackResult(*contour_centroid(contour), confidence, confidence, status, contour, detail, 1)

    def _scaled(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((frame - np.float32(self._mean)) / np.float32(self._deviation))[None, None]

    def _run(self, inputs: dict[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], float]:
        """Return the probability of each pixel, and the confidence. Raises `TrackingError` for what cannot be."""
        mask, confidence = self._session.run(OUTPUTS, inputs)
        shape = inputs["frame"].shape
        if mask.shape != shape or confidence.size != 1:
            raise TrackingError(f"outputs are {mask.shape} and {confidence.shape}; {shape} and (1,) are needed")
        for name, values in zip(OUTPUTS, (mask, confidence), strict=True):
            low, high = float(values.min()), float(values.max())
            if not (low >= -1e-3 and high <= 1.001):
                raise TrackingError(f"{name} of the network is {low:g} to {high:g}; 0 to 1 is possible")
        return mask[0, 0], min(max(float(confidence.reshape(())), 0.0), 1.0)

    def _check(self, inputs: dict[str, NDArray[np.float32]], mask: NDArray[np.bool_]) -> None:
        """Refuse a network that is too slow here, or does not find the target where it was drawn.

        The processor's time counts: what else keeps the machine busy now says nothing of the frames to come.
        """
        times_ms = []
        for _ in range(3):
            begun_ns = time.thread_time_ns()
            probability, _ = self._run(inputs)
            times_ms.append((time.thread_time_ns() - begun_ns) / 1e6)
        if min(times_ms) > BUDGET_MS:
            raise TrackingError(f"the network takes {min(times_ms):.0f} ms for a frame; {BUDGET_MS:g} ms are allowed")
        found = probability > 0.5
        dice = 2 * float(np.sum(found & mask)) / float(np.sum(found) + np.sum(mask))
        if not dice >= OWN_FRAME_DICE:
            raise TrackingError(
                f"in its own reference frame the network finds the target with a DSC of {dice:.2f}; "
                f"{OWN_FRAME_DICE:g} is needed"
            )


def load_network(file: Path) -> Any:
    """Return the network, ready to run in the calling thread alone. Raises `TrackingError`."""
    try:
        import onnxruntime
    except ImportError:
        raise TrackingError("a network needs the extra onnx: pip install 'cinegate[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # other threads would take the engine's core
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the runtime has some ten types of its own
        raise TrackingError(f"network {file}: {str(error).splitlines()[0]}") from None
    names = {kind: {end.name: end for end in ends} for kind, ends in _ends(session)}
    for kind, needed in (("inputs", INPUTS), ("outputs", OUTPUTS)):
        if set(names[kind]) != set(needed):
            raise TrackingError(f"network {file}: {kind} are {', '.join(names[kind])}; needed are {', '.join(needed)}")
        if wrong := [name for name in needed if names[kind][name].type != "tensor(float)"]:
            raise TrackingError(f"network {file}: {wrong[0]} is a {names[kind][wrong[0]].type}; float32 is needed")
    return session


def _ends(session: Any) -> tuple[tuple[str, list[Any]], ...]:
    return ("inputs", session.get_inputs()), ("outputs", session.get_outputs())


def refused(reason: str) -> TrackResult:
    """Return the result for a frame in which the network cannot look for the target."""
    nan = float("nan")
    return TrackResult(nan, nan, 0.0, 0.0, TrackStatus.REFUSED, EMPTY, reason, 1)
