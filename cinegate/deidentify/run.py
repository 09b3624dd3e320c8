"""Folders of session logs, recordings and DICOM files, copied without identity, patient by patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from cinegate.deidentify.dicom import DicomCleaner
from cinegate.deidentify.identities import DeidentifyError, Identities, Patient
from cinegate.deidentify.log import copy_log
from cinegate.deidentify.recordings import copy_recording, has_text
from drivers.errors import BadRecording, DriverError, PlaneMissing
from drivers.recordings import MOVIES, PLANES, Recording, holds_stamps, open_recording
from gating.errors import CinegateError

DICOM: Final = (".dcm", ".ima")
RECORDINGS: Final = (".npz", ".h5", ".mha", ".raw", ".dat", *MOVIES)
TEXT_IN_IMAGES: Final = "its images look as if text were burnt into them; look at them yourself"


class Options(Struct, frozen=True, kw_only=True):
    """What may stay, and what recordings do not hold themselves."""

    patient: str = ""
    """Whose everything is; empty: each folder below is a patient of its own."""
    keep_texts: bool = False
    keep_target_names: bool = False
    keep_device: bool = False
    allow_text_in_images: bool = False
    pixel_spacing_mm: float | None = None
    frames_per_s: float | None = None


class LeftOut(Struct, frozen=True, kw_only=True):
    """A file that was not copied."""

    path: str
    why: str


class Outcome(Struct, kw_only=True):
    """What became of a folder."""

    patients: list[str] = []
    logs: int = 0
    recordings: int = 0
    dicom: int = 0
    messages_left_out: int = 0
    left_out: list[LeftOut] = []


class Item(Struct, frozen=True, kw_only=True):
    """A file, or the folder of a recording, and whose it is."""

    path: Path
    patient: str
    kind: str
    """"log", "recording", "dicom", or empty for what is not copied."""


def find(source: Path, patient: str = "") -> list[Item]:
    """Return everything in a folder, or a single file, with its patient: the folder directly below `source`."""
    if source.is_file() or _is_recording(source):
        name = patient or (source.parent if source.is_file() else source).absolute().name
        return [Item(path=source, patient=name, kind=_kind(source))]
    found = []
    for path in sorted(source.iterdir()):
        of = patient or (path if path.is_dir() else source.absolute()).name
        found += [Item(path=one, patient=of, kind=_kind(one)) for one in _below(path)]
    return found


def deidentify(
    items: list[Item], out: Path, identities: Identities, options: Options, *, done: Callable[[], None] = lambda: None
) -> Outcome:
    """Copy everything that can be copied without identity, and note it in the link table.

    Parameters
    ----------
    items
        As `find` returns them.
    out
        Folder of the copies, a new or an empty one. Their names tell nothing.
    identities
        The link table; it is written before the first copy and after the last.
    options
        What may stay.
    done
        Called after each item.

    Raises
    ------
    OSError
        If a copy or the link table cannot be written.
    """
    outcome = Outcome()
    people = {name: identities.patient(name) for name in dict.fromkeys(item.patient for item in items)}
    identities.save()
    try:
        for name, patient in people.items():
            copier = _Copier(out / patient.pseudonym, patient, identities, options, outcome)
            for item in items:
                if item.patient == name:
                    copier.copy(item)
                    done()
            if copier.copied:
                outcome.patients.append(patient.pseudonym)
    finally:
        identities.save()
    return outcome


class _Copier:
    """Copies the files of one patient."""

    def __init__(
        self, folder: Path, patient: Patient, identities: Identities, options: Options, outcome: Outcome
    ) -> None:
        self._folder, self._patient, self._identities = folder, patient, identities
        self._options, self._outcome = options, outcome
        self._dicom: DicomCleaner | None = None
        self.copied = 0

    def copy(self, item: Item) -> None:
        try:
            match item.kind:
                case "log":
                    self._outcome.logs += self._copy_log(item.path)
                case "recording":
                    self._outcome.recordings += self._copy_recording(item.path)
                case "dicom":
                    self._outcome.dicom += self._copy_dicom(item.path)
                case _:
                    self._leave_out(item.path, "is neither a session log nor a recording nor DICOM")
        except (CinegateError, DriverError) as error:
            self._leave_out(item.path, str(error))

    def _copy_log(self, path: Path) -> int:
        keep = {"keep_texts": self._options.keep_texts, "keep_target_names": self._options.keep_target_names}
        copy = self._next("session", ".mcap")
        try:
            made = copy_log(path, copy, self._patient, **keep)
            if made.text_in_images and not self._options.allow_text_in_images:
                raise DeidentifyError(TEXT_IN_IMAGES)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        self._outcome.messages_left_out += made.left_out
        return self._note(path, copy)

    def _copy_recording(self, path: Path) -> int:
        """Copy each plane of a recording; those of a format without orientations have one."""
        copied = 0
        for plane in PLANES if path.suffix == ".h5" else ("",):
            try:
                recording = self._open(path, plane)
            except PlaneMissing:
                continue
            if has_text(recording) and not self._options.allow_text_in_images:
                raise DeidentifyError(TEXT_IN_IMAGES)
            copy = self._next("recording", ".npz")
            copy_recording(recording, copy, self._patient)
            copied += self._note(path, copy)
        return copied

    def _open(self, path: Path, plane: str) -> Recording:
        """Open a recording, with what the user gave where it does not hold that itself."""
        try:
            return open_recording(path, plane=plane)
        except PlaneMissing:
            raise
        except BadRecording:
            spacing, rate = self._options.pixel_spacing_mm, self._options.frames_per_s
            if spacing is None and rate is None:
                raise
        return open_recording(path, spacing, plane=plane, frames_per_s=None if holds_stamps(path) else rate)

    def _copy_dicom(self, path: Path) -> int:
        keep = {name: getattr(self._options, name) for name in ("keep_texts", "keep_target_names", "keep_device")}
        if self._dicom is None:
            allow = self._options.allow_text_in_images
            self._dicom = DicomCleaner(self._patient, **keep, allow_text_in_images=allow)
        copy = self._next("dicom", ".dcm")
        self._dicom.copy(path, copy)
        return self._note(path, copy)

    def _next(self, what: str, suffix: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / f"{what}-{self.copied + 1:05d}{suffix}"

    def _note(self, original: Path, copy: Path) -> int:
        self.copied += 1
        self._identities.note(original, copy, self._patient)
        return 1

    def _leave_out(self, path: Path, why: str) -> None:
        self._outcome.left_out.append(LeftOut(path=str(path), why=why.removeprefix(f"{path}: ")))


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink() and not _is_recording(path):
        for one in sorted(path.iterdir()):
            yield from _below(one)
    else:
        yield path


def _is_recording(folder: Path) -> bool:
    """Return whether a folder is one recording: a case of TrackRAD2025, frames of a 1.5 T MR-linac, or pictures."""
    return folder.is_dir() and ((folder / "images").is_dir() or any(folder.glob("*.bin")) or any(folder.glob("*.png")))


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.is_symlink():
        return ""
    if path.is_dir() or suffix in RECORDINGS:
        return "recording"
    if suffix == ".mcap":
        return "log"
    return "dicom" if suffix in DICOM or _has_dicom_prefix(path) else ""


def _has_dicom_prefix(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM"
