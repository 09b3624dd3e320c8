"""A phantom that is imaged in a sagittal and a coronal plane in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.formats.frame import PlaneGeometry
from drivers.phantom import Phantom, PhantomSettings
from gating.geometry.plane import ImagePlane

PLANES = ("sagittal", "coronal")
INTERVAL_S = 0.05


class Patient:
    """A phantom that is imaged in two planes through its target, frame by frame in turn."""

    def __init__(self) -> None:
        settings = {"rows": 96, "columns": 96, "pixel_spacing_mm": (2.4, 2.4), "frames_per_s": 1 / INTERVAL_S}
        self.phantoms = {
            plane: Phantom(PhantomSettings(plane=plane, interval_jitter=0.0, noise_sigma=0.02, **settings))  # type: ignore[arg-type]  # settings of several types
            for plane in PLANES
        }
        sagittal, coronal = (self.seen_mm(plane, 0) for plane in PLANES)
        self.shift_mm = {"sagittal": np.array([coronal[0], 0, 0]), "coronal": np.array([0, sagittal[1], 0])}

    def seen_mm(self, plane: str, index: int) -> np.ndarray:
        """The target's centre in its plane; the phantom's planes meet at the origin."""
        phantom = self.phantoms[plane]
        geometry = PlaneGeometry(phantom.spacing_mm, phantom.orientation, phantom.position_mm)
        return np.array(ImagePlane.of(geometry).to_lps_mm(*phantom.truth(index).centre_px))

    def plane(self, index: int) -> str:
        return PLANES[index % 2]

    def pixels(self, index: int) -> np.ndarray:
        phantom = self.phantoms[self.plane(index)]
        pixels = np.empty(phantom.shape, np.uint16)
        phantom.render_into(index, pixels)
        return pixels

    def position_mm(self, plane: str) -> np.ndarray:
        return np.add(self.phantoms[plane].position_mm, self.shift_mm[plane])

    def target_mm(self, index: int) -> np.ndarray:
        """Where the target really is, in the patient."""
        sagittal, coronal = (self.seen_mm(plane, index) for plane in PLANES)
        return np.array([coronal[0], sagittal[1], sagittal[2]])


def write_recordings(patient: Patient, folder: Path, count: int) -> list[Path]:
    """One recording per plane, stamped by one clock, each with the target of its first frame."""
    for plane in PLANES:
        phantom, taken = patient.phantoms[plane], [index for index in range(count) if patient.plane(index) == plane]
        np.savez(
            folder / f"{plane}.npz",
            frames=np.stack([patient.pixels(index) for index in taken]),
            t_s=np.array(taken) * INTERVAL_S,
            pixel_spacing_mm=phantom.spacing_mm,
            image_position_patient=patient.position_mm(plane),
            image_orientation_patient=phantom.orientation,
            target_contour_px=phantom.truth(taken[0]).contour_px,
        )
    return [folder / f"{plane}.npz" for plane in PLANES]
