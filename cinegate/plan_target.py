"""A target of a plan, carried to the plane of a cine, with the page on which a person judges it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from drivers.plans.dicom import Identity, check_belong_together
from drivers.plans.structures import read_solid
from drivers.plans.volume import read_volume
from gating.errors import TargetError
from gating.geometry.plane import ImagePlane
from gating.registration.carry import Carried, RegistrationError, carry
from gating.registration.couch import couch_shift_iec_mm, isocentre_shift_iec_mm
from gating.settings.private_file import private_file
from gating.targets.image import TargetImage
from gating.targets.spec import CarriedOver, TargetSpec
from gating.targets.target_file import read_targets, write_targets
from gating.wire.pixels import content_hash

if TYPE_CHECKING:
    from drivers.recordings import Recording
    from gating.messages import Pixels

MEANINGS: Final = {
    "covered": "share of the surroundings that the volume covers",
    "agreement": "local correlation of image and volume, 0 to 1",
    "contrast": "structure around the contour over noise",
    "spread_mm": "how far registrations from other starts end apart",
    "translation_mm": "size of the rigid shift",
    "rotation_deg": "size of the rotation",
    "deformation_mm": "largest shift of the deformation",
    "area_ratio": "area of the cut over the largest in parallel planes",
}


@dataclass(frozen=True, slots=True, eq=False)
class PlanTarget:
    """A target carried over, not accepted yet, and the shifts that would take it back."""

    target: TargetSpec
    carried: Carried
    couch_iec_mm: tuple[float, float, float]
    isocentre_iec_mm: tuple[float, float, float]


def carry_from_plan(
    volume: Path,
    structures: Path,
    name: str,
    recording: Recording,
    *,
    frame: int = 0,
    surrogate: bool = False,
    patient_position: str = "HFS",
) -> PlanTarget:
    """Carry a structure of a plan to a frame of a recording.

    Parameters
    ----------
    volume
        Folder with the DICOM series in which the structure was drawn, or a volume file.
    structures
        RTSTRUCT, or a mask volume (`.mha`, `.nii.gz`, `.nrrd`).
    name
        Of the structure; of a mask volume, what it shall be called.
    recording
        Cine of the plane that will be treated.
    frame
        Number of its frame.
    surrogate
        Whether the structure is meant to be none of the plan's targets.
    patient_position
        "HFS", "HFP", "FFS" or "FFP", for the shifts.

    Raises
    ------
    BadPlan, BadRecording
        If a file cannot be used, or they are of different patients or frames of reference; one sentence.
    RegistrationError, TargetError, ValueError
        If the structure cannot be carried over; one sentence.
    """
    if not 0 <= frame < len(recording):
        raise TargetError(f"frame is {frame}; {recording.path} has frames 0 to {len(recording) - 1}")
    structure, whose_structure = read_solid(structures, name)
    image, whose = read_volume(volume)
    cine = Identity(recording.path, "cine", "", recording.frame_of_reference)
    check_belong_together([whose, whose_structure, cine])
    check_belong_together([whose_structure, cine])  # the volume may not say
    pixels = recording.frames[frame]
    found = carry(image, structure, structure.middle_mm, pixels, ImagePlane.of(recording), surrogate=surrogate)
    if len(found.contour_px) < 3:
        raise RegistrationError(f"{name}: the plane of {recording.name} does not cut it")
    quality = ", ".join(f"{key} {value:.2f}" for key, value in msgspec.structs.asdict(found.quality).items())
    how = CarriedOver(f"{name} of {structures.name} in {volume.name}: {quality}"[:400], found.doubts)
    drawn_on = TargetImage.of(recording, pixels, content_hash(pixels))
    target = TargetSpec(name, found.contour_px, recording.plane, image=drawn_on, carried=how)
    shift = found.shift_lps_mm
    couch, isocentre = (move(shift, patient_position) for move in (couch_shift_iec_mm, isocentre_shift_iec_mm))
    return PlanTarget(target, found, couch, isocentre)


def write_page(made: PlanTarget, pixels: Pixels, plane: ImagePlane, out: Path) -> None:
    """Write the page to judge the contour by: image and volume with the same contour, measures and doubts."""
    from gating.pages.page import head, page, section, table, warning
    from gating.pages.pictures import grey, picture, window

    letters = plane.edge_letters()
    outline = [(float(x), float(y)) for x, y in made.target.contour_px]
    pictures = ""
    for caption, image in (("cine", pixels), ("volume, resliced", np.nan_to_num(made.carried.alignment.resliced))):
        drawn = picture(grey(image, window([image])), plane.spacing_mm, [("contour", outline)], letters)
        pictures += f'<figure class="frame">{drawn}<figcaption>{escape(caption)}</figcaption></figure>'
    measures = msgspec.structs.asdict(made.carried.quality)
    rows = [(key, f"{value:.2f}", MEANINGS[key]) for key, value in measures.items()]
    doubts = "".join(map(warning, made.carried.doubts))
    notice = "Not accepted: no live session takes this contour before a person has accepted it."
    body = head(
        f"{made.target.name}, carried over from the plan",
        made.target.carried.how if made.target.carried else "",
        notice,
    )
    beside = f'<div class="frames" style="grid-template-columns:1fr 1fr">{pictures}</div>'
    body += doubts + section("The contour", "Look whether it is the target, in both.", beside)
    body += section("Measures", "Of the registration.", table(("measure", "value", "what it is"), rows))
    private_file(out).write_text(page(f"{made.target.name} from plan", body), encoding="utf-8")


def accept(path: Path, operator: str, why: str = "") -> list[str]:
    """Accept the carried contours of a target file, in the name of a person who has looked at them.

    Returns
    -------
    list of str
        Names of the targets that were accepted.

    Raises
    ------
    TargetError
        If there is none, or one is in doubt and no reason is given; one sentence.
    """
    targets = read_targets(path)
    waiting = [one for one in targets if one.unaccepted]
    if not waiting:
        raise TargetError(f"{path}: no contour waits to be accepted")
    if not operator.strip() or len(operator) > 64:
        raise TargetError(f"operator is {operator!r}; a name of 1 to 64 characters is needed")
    for one in waiting:
        if one.carried is not None and one.carried.doubts and not why:
            raise TargetError(f"{one.name} is in doubt: {one.carried.doubts[0]}; give --why to accept it all the same")
    accepted = [one.accept(operator.strip(), why) if one.unaccepted else one for one in targets]
    write_targets(path, accepted)
    return [one.name for one in waiting]
