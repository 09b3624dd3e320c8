"""`cinegate export`: a session log in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cinegate.verbs.app import CommandError, app, findings, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.report import LogArgument

if TYPE_CHECKING:
    from cinegate.exports.session import ExportedSession

_COLUMNS = "Folder for the tables of frames, estimates, commands, beam and events"


@app.command()
def export(
    log: LogArgument,
    foxglove: Annotated[Path | None, typer.Option("--foxglove", help="Recording for Foxglove (.mcap).")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help=f"{_COLUMNS}, as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help=f"{_COLUMNS}, as Parquet.")] = None,
    slicer_cine_track: Annotated[
        Path | None, typer.Option("--slicer-cine-track", help="Folder for SlicerCineTrack, an extension of 3D Slicer.")
    ] = None,
    target: Annotated[str, typer.Option("--target", help="Which target SlicerCineTrack shows, of several.")] = "",
    dicom: Annotated[
        Path | None, typer.Option("--dicom", help="Folder for DICOM: cine, contours, motion, report.")
    ] = None,
    patient_from: Annotated[
        Path | None,
        typer.Option("--patient-from", help="Plan or other DICOM file of the patient, to copy fields from."),
    ] = None,
    cine_from: Annotated[
        Path | None, typer.Option("--cine-from", help="A DICOM image of the cine, for its frame of reference.")
    ] = None,
    patient_id: Annotated[str, typer.Option("--patient-id", help="PatientID, for DICOM.")] = "",
    patient_name: Annotated[str, typer.Option("--patient-name", help="PatientName, for DICOM.")] = "",
    send: Annotated[
        str, typer.Option("--send", help="DICOM server that stores the objects (C-STORE).", metavar="AE@HOST:PORT")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write a session in the formats of others. Nothing that exists is replaced."""
    from cinegate.exports.session import open_session

    if not any((foxglove, csv, parquet, slicer_cine_track, dicom)):
        raise CommandError("nothing is asked for; give --dicom, --foxglove, --csv, --parquet or --slicer-cine-track")
    if dicom is None and any((patient_from, cine_from, patient_id, patient_name, send)):
        raise CommandError("--patient-id, --patient-name, --patient-from, --cine-from and --send need --dicom FOLDER")
    session = open_session(log)
    written: dict[str, Any] = {}
    if dicom is not None:
        who = {"patient_id": patient_id, "patient_name": patient_name}
        written["dicom"] = _dicom(session, dicom, {**who, "patient_from": patient_from, "cine_from": cine_from}, send)
    if csv is not None or parquet is not None:
        written |= _tables(log, csv, parquet)
    if foxglove is not None:
        from cinegate.exports.foxglove import write_foxglove

        written["foxglove"] = {"file": str(foxglove), "messages": write_foxglove(session, foxglove)}
    if slicer_cine_track is not None:
        import msgspec

        from cinegate.exports.cine_track import write_cine_track

        written["slicer_cine_track"] = msgspec.to_builtins(write_cine_track(session, slicer_cine_track, target))
    if as_json:
        print_json({"log": str(log), **written})
        return
    for kind, what in written.items():
        findings.print(f"{kind.replace('_', ' ')}: {_in_words(what)}", highlight=False, soft_wrap=True)


def _dicom(session: ExportedSession, folder: Path, who: dict[str, Any], send: str) -> dict[str, Any]:
    try:
        from cinegate.exports.dicom.identity import identify
        from cinegate.exports.dicom.write import check_reach, parse_peer, send_dicom, write_dicom
    except ImportError as error:
        from drivers.errors import Unavailable
        from drivers.extras import missing

        raise Unavailable(missing("DICOM", str(error.name), "dicom")) from None
    peer = parse_peer(send) if send else None
    if peer is not None:
        check_reach(peer)
    files = write_dicom(session, folder, identify(session, **who))
    if peer is not None:
        send_dicom(files, peer)
    return {"files": [str(path) for path in files], "sent_to": send or None}


def _tables(log: Path, csv: Path | None, parquet: Path | None) -> dict[str, Any]:
    from cinegate.exports.tables import write_csv, write_parquet
    from cinegate.sessions import read_session

    session = read_session(log)
    return {
        kind: [str(path) for path in write(session, folder)]
        for kind, write, folder in (("csv", write_csv, csv), ("parquet", write_parquet, parquet))
        if folder is not None
    }


def _in_words(what: Any) -> str:
    if isinstance(what, dict):
        known = {key: value for key, value in what.items() if value is not None}
        return ", ".join(f"{key.replace('_', ' ')} {_in_words(value)}" for key, value in known.items())
    return ", ".join(map(str, what)) if isinstance(what, list) else str(what)
