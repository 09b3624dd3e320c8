"""All objects of one export: written to a folder, and sent to a DICOM server."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pydicom
from msgspec import Struct
from pydicom.dataset import Dataset

from cinegate.exports.dicom.cine import cine
from cinegate.exports.dicom.document import report_document
from cinegate.exports.dicom.identity import Identity, IdentityError
from cinegate.exports.dicom.motion import motion_report
from cinegate.exports.dicom.structures import structure_set
from cinegate.exports.dicom.study import Study
from cinegate.exports.files import new_file, new_folder
from cinegate.exports.session import ExportedSession
from drivers.errors import Unavailable

OUR_AE_TITLE: Final = "CINEGATE"
TIMEOUT_S: Final = 30.0
_PEER: Final = re.compile(r"([^@\\]{1,16})@(\[[0-9a-fA-F:]+\]|[^:@\[\]]+):(\d{1,5})")
_UNFIT: Final = re.compile(r"[^\w.-]")


class Peer(Struct, frozen=True, kw_only=True):
    """A DICOM server."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


def write_dicom(session: ExportedSession, folder: Path, identity: Identity) -> list[Path]:
    """Write the cine of each plane, the structure set, the structured report and the report as PDF.

    Raises
    ------
    SessionError, PdfError
        If the session or this computer lacks what an object needs.
    OSError
        If the folder cannot be written, or holds something already.
    """
    new_folder(folder)
    study = Study.of(session, identity)
    cines = {plane: cine(study, plane, number) for number, plane in enumerate(session.planes, start=1)}
    objects: dict[str, Dataset] = {f"cine_{_UNFIT.sub('_', plane)}": made for plane, made in cines.items()}
    if session.data.references:
        objects["structures"] = structure_set(study, cines, len(objects) + 1)
    objects["motion"] = motion_report(study, cines, len(objects) + 1)
    objects["report"] = report_document(study, len(objects) + 1)
    written = []
    for name, made in objects.items():
        written.append(new_file(folder / f"{name}.dcm"))
        made.save_as(written[-1], enforce_file_format=True)
    return written


def parse_peer(text: str) -> Peer:
    """Return the server that `AE@HOST:PORT` names. Raises `IdentityError`."""
    match = _PEER.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 2**16:
        raise IdentityError(
            f"DICOM server is {text!r}; AE@HOST:PORT is needed, with an AE title of up to 16 characters"
        )
    return Peer(ae_title=match[1], host=match[2].strip("[]"), port=int(match[3]))


def check_reach(peer: Peer) -> None:
    """Raise `Unavailable` if nothing listens where a server should be."""
    try:
        socket.create_connection((peer.host, peer.port), TIMEOUT_S).close()
    except OSError as error:
        raise Unavailable(f"DICOM server {peer} cannot be reached: {error.strerror or error}") from None


def send_dicom(files: Sequence[Path], peer: Peer) -> None:
    """Send files by C-STORE, one after the other.

    Raises
    ------
    Unavailable
        If the server does not answer, or does not store one of them.
    """
    from pynetdicom import AE

    objects = [pydicom.dcmread(path) for path in files]
    entity = AE(ae_title=OUR_AE_TITLE)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = TIMEOUT_S
    for made in objects:
        entity.add_requested_context(made.SOPClassUID, made.file_meta.TransferSyntaxUID)
    check_reach(peer)  # because of a refused connection, pynetdicom leaves the socket open and does not say why
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    if not association.is_established:
        raise Unavailable(f"DICOM server {peer} accepts no association from {OUR_AE_TITLE}")
    try:
        for path, made in zip(files, objects, strict=True):
            try:
                status = association.send_c_store(made)
            except (ValueError, RuntimeError) as error:
                raise Unavailable(f"DICOM server {peer} did not store {path.name}: {error}") from None
            code = status.get("Status")
            if code != 0:
                said = "no answer" if code is None else f"status 0x{code:04X}"
                raise Unavailable(f"DICOM server {peer} did not store {path.name}: {said}")
    finally:
        association.release()
