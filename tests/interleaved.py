"""A phantom that is imaged in a sagittal and a coronal plane in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.phantom import PhantomSettings
from drivers.phantom.two_planes import PLANES, TwoPlanePhantom

INTERVAL_S = 0.05


class Patient(TwoPlanePhantom):
    """A phantom that is imaged in two planes through its target, frame by frame in turn."""

    def __init__(self, **settings) -> None:
        small = {"rows": 96, "columns": 96, "pixel_spacing_mm": (2.4, 2.4), "frames_per_s": 1 / INTERVAL_S}
        super().__init__(PhantomSettings(**small | {"interval_jitter": 0.0, "noise_sigma": 0.02} | settings))


def write_recordings(patient: Patient, folder: Path, count: int, interval_s: float = INTERVAL_S) -> list[Path]:
    """One recording per plane, stamped by one clock, each with the target of its first frame."""
    for plane in PLANES:
        phantom, taken = patient.phantoms[plane], [index for index in range(count) if patient.plane(index) == plane]
        np.savez(
            folder / f"{plane}.npz",
            frames=np.stack([patient.pixels(index) for index in taken]),
            t_s=np.array(taken) * interval_s,
            pixel_spacing_mm=phantom.spacing_mm,
            image_position_patient=patient.position_mm(plane),
            image_orientation_patient=phantom.orientation,
            target_contour_px=phantom.truth(taken[0]).contour_px,
        )
    return [folder / f"{plane}.npz" for plane in PLANES]
