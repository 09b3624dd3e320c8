"""The phantom as a sagittal and a coronal plane show it in turn, with its target's exact position in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from drivers.phantom.render import Phantom
from drivers.phantom.settings import PhantomSettings
from gating.geometry.plane import ImagePlane

PLANES: Final = ("sagittal", "coronal")


class _Placed:
    """Geometry of a plane of the phantom."""

    def __init__(self, phantom: Phantom) -> None:
        self.pixel_spacing_mm = phantom.spacing_mm
        self.image_orientation = phantom.orientation
        self.image_position_mm = phantom.position_mm


class TwoPlanePhantom:
    """A phantom that is imaged in two planes through its target, frame by frame.

    Parameters
    ----------
    settings
        Of both planes; `plane` is not used.
    order
        Which plane each frame shows; it begins anew at its end.
    """

    def __init__(self, settings: PhantomSettings, order: Sequence[str] = PLANES) -> None:
        self.order = tuple(order)
        self.phantoms = {plane: Phantom(replace(settings, plane=plane)) for plane in PLANES}
        sagittal, coronal = (self.seen_mm(plane, 0) for plane in PLANES)
        self.shift_mm = {"sagittal": np.array([coronal[0], 0, 0]), "coronal": np.array([0, sagittal[1], 0])}

    def seen_mm(self, plane: str, index: int) -> NDArray[np.float64]:
        """Return the target's centre in its plane, LPS; the phantom's planes meet at the origin."""
        phantom = self.phantoms[plane]
        return np.array(ImagePlane.of(_Placed(phantom)).to_lps_mm(*phantom.truth(index).centre_px))

    def plane(self, index: int) -> str:
        """Return which plane a frame shows."""
        return self.order[index % len(self.order)]

    def pixels(self, index: int) -> NDArray[Any]:
        """Return the pixels of a frame."""
        phantom = self.phantoms[self.plane(index)]
        pixels = np.empty(phantom.shape, phantom.settings.dtype)
        phantom.render_into(index, pixels)
        return pixels

    def position_mm(self, plane: str) -> NDArray[np.float64]:
        """Return where the centre of pixel (0, 0) of a plane is, LPS."""
        position_mm: NDArray[np.float64] = self.phantoms[plane].position_mm + self.shift_mm[plane]
        return position_mm

    def target_mm(self, index: int) -> NDArray[np.float64]:
        """Return where the target really is, LPS."""
        sagittal, coronal = (self.seen_mm(plane, index) for plane in PLANES)
        return np.array([coronal[0], sagittal[1], sagittal[2]])
