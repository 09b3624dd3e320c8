"""A target of a plan, carried to the plane of a cine, with the page on which a person judges it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from cinegate.targets import named_targets
from drivers.plans.dicom import Identity, check_belong_together
from drivers.plans.structures import read_solid
from drivers.plans.volume import read_volume
from gating.errors import TargetError
from gating.geometry.plane import ImagePlane
from gating.registration.carry import Carried, RegistrationError, carry
from gating.registration.couch import couch_shift_iec_mm, isocentre_shift_iec_mm
from gating.registration.slab import FRAME_LIMITS, slab_of
from gating.settings.private_file import private_file
from gating.targets.image import TargetImage
from gating.targets.spec import CarriedOver, TargetSpec
from gating.targets.target_file import read_targets, write_targets
from gating.wire.pixels import content_hash

if TYPE_CHECKING:
    from drivers.recordings import Recording
    from gating.messages import Pixels

MAX_APART_DEG: Final = 5.0
"""Between the planes of two sessions: a structure of 30 mm then looks less than 3 mm different. A convention here."""
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
    """A target carried over, not accepted yet, and the shifts that would take it back; None if they are not known."""

    target: TargetSpec
    carried: Carried
    source: str
    """From where, in words."""
    couch_iec_mm: tuple[float, float, float] | None = None
    isocentre_iec_mm: tuple[float, float, float] | None = None


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
    pixels = _frame_of(recording, frame)
    structure, whose_structure = read_solid(structures, name)
    image, whose = read_volume(volume)
    cine = Identity(recording.path, "cine", "", recording.frame_of_reference)
    check_belong_together([whose, whose_structure, cine])
    check_belong_together([whose_structure, cine])  # the volume may not say
    found = carry(image, structure, structure.middle_mm, pixels, ImagePlane.of(recording), surrogate=surrogate)
    target = _carried_target(found, name, f"{name} of {structures.name} in {volume.name}", recording, pixels)
    shift = found.shift_lps_mm
    couch, isocentre = (move(shift, patient_position) for move in (couch_shift_iec_mm, isocentre_shift_iec_mm))
    return PlanTarget(target, found, "the plan", couch, isocentre)


def carry_from_session(session: Path, name: str, recording: Recording, *, frame: int = 0) -> PlanTarget:
    """Carry a target of another session, with the image in which it was drawn, to a frame of a recording.

    Parameters
    ----------
    session
        Session log (`.mcap`) or target file (`.json`).
    name
        Of the target.
    recording
        Cine of the plane that will be treated.
    frame
        Number of its frame.

    Raises
    ------
    TargetError
        If there is no such target, it has no image, or its contour was carried itself and nobody has accepted it.
    RegistrationError, SessionError
        If it cannot be carried over; one sentence.
    """
    pixels = _frame_of(recording, frame)
    known = {one.name: one for one in named_targets(session)}
    if name not in known:
        raise TargetError(f"{session}: there is no target {name[:64]!r}; it holds {', '.join(sorted(known))}")
    drawn = known[name]
    if drawn.unaccepted:
        raise TargetError(f"{name} {drawn.unaccepted}; accept it first, or carry it from where it was drawn")
    slab, plane = slab_of(drawn), ImagePlane.of(recording)
    across = np.cross(plane.along_columns, plane.along_rows)
    apart_deg = math.degrees(math.acos(min(1.0, abs(float(slab.normal @ across)))))
    if not apart_deg <= MAX_APART_DEG:
        raise TargetError(
            f"{name} was drawn in a plane that is {apart_deg:.0f} degrees from that of {recording.name}; "
            f"at most {MAX_APART_DEG:g} are possible"
        )
    found = carry(
        slab.volume, slab, slab.middle_mm, pixels, plane, surrogate=True, unseen=slab.normal, limits=FRAME_LIMITS
    )
    target = _carried_target(found, name, f"{name} of {session.name}", recording, pixels)
    return PlanTarget(target, found, "another session")


def _frame_of(recording: Recording, frame: int) -> Pixels:
    if not 0 <= frame < len(recording):
        raise TargetError(f"frame is {frame}; {recording.path} has frames 0 to {len(recording) - 1}")
    return recording.frames[frame]


def _carried_target(found: Carried, name: str, source: str, recording: Recording, pixels: Pixels) -> TargetSpec:
    if len(found.contour_px) < 3:
        raise RegistrationError(f"{name}: the plane of {recording.name} does not cut it")
    quality = ", ".join(f"{key} {value:.2f}" for key, value in msgspec.structs.asdict(found.quality).items())
    how = CarriedOver(f"{source}: {quality}"[:400], found.doubts)
    drawn_on = TargetImage.of(recording, pixels, content_hash(pixels))
    return TargetSpec(name, found.contour_px, recording.plane, image=drawn_on, carried=how)


def write_page(made: PlanTarget, pixels: Pixels, plane: ImagePlane, out: Path) -> None:
    """Write the page to judge the contour by: image and volume with the same contour, measures and doubts."""
    from gating.pages.page import head, page, section, table, warning
    from gating.pages.pictures import grey, picture, window

    letters = plane.edge_letters()
    outline = [(float(x), float(y)) for x, y in made.target.contour_px]
    pictures = ""
    for caption, image in (("cine", pixels), ("source, resliced", np.nan_to_num(made.carried.alignment.resliced))):
        drawn = picture(grey(image, window([image])), plane.spacing_mm, [("contour", outline)], letters)
        pictures += f'<figure class="frame">{drawn}<figcaption>{escape(caption)}</figcaption></figure>'
    measures = msgspec.structs.asdict(made.carried.quality)
    rows = [(key, f"{value:.2f}", MEANINGS[key]) for key, value in measures.items()]
    doubts = "".join(map(warning, made.carried.doubts))
    notice = "Not accepted: no live session takes this contour before a person has accepted it."
    body = head(
        f"{made.target.name}, carried over from {made.source}",
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
