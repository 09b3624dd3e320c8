"""A recording copied without identity: what a `Recording` holds, and nothing else of the file, goes into an `.npz`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cinegate.deidentify.identities import SECOND_NS, Patient
from cinegate.deidentify.messages import SINCE_1970_NS
from cinegate.deidentify.pixels import looks_like_text
from drivers.recordings.recording import Recording
from drivers.recordings.writing import write_npz

LOOKED_AT = 3
"""Frames that are looked at for burnt-in text: the first, the middle one and the last."""


def copy_recording(recording: Recording, copy: Path, patient: Patient) -> None:
    """Write a recording without its name, description, frame of reference and day. Raises `BadRecording`, `OSError`.

    Stamps that count from 1970 move by the patient's shift. Others, such as times of day, begin in the first second.
    """
    first_ns = int(recording.stamps_ns[0])
    shift_ns = patient.shift_ns if first_ns > SINCE_1970_NS else -(first_ns // SECOND_NS) * SECOND_NS
    of = recording.frame_of_reference
    kept = replace(
        recording,
        name=patient.pseudonym,
        description="",
        frame_of_reference=patient.uid(of) if of else "",
        stamps_ns=recording.stamps_ns + np.int64(shift_ns),
    )
    write_npz(kept, copy)


def has_text(recording: Recording) -> bool:
    """Return whether a frame looks as if text were burnt into it."""
    chosen = {round(index) for index in np.linspace(0, len(recording) - 1, LOOKED_AT)}
    return any(looks_like_text(recording.frames[index]) for index in sorted(chosen))
