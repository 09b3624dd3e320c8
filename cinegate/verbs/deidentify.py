"""`cinegate deidentify`: session logs, recordings and DICOM files, copied without identity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.outputs import output_folder
from cinegate.verbs.app import EXIT_UNSAFE, CommandError, app, console, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption, RateOption, SpacingOption
from cinegate.verbs.progress import progress


@app.command()
def deidentify(
    source: Annotated[
        Path, typer.Argument(help="A file, or a folder with one folder for each patient.", metavar="IN", exists=True)
    ],
    out: Annotated[Path, typer.Argument(help="A new or empty folder for the copies.", metavar="OUT")],
    link: Annotated[
        Path | None,
        typer.Option("--link", help="Link table, secret; by default in ~/cinegate/links. The same one goes on."),
    ] = None,
    patient: Annotated[str, typer.Option("--patient", help="Whose all of it is; by default the folder's name.")] = "",
    keep_texts: Annotated[
        bool, typer.Option("--keep-texts", help="Keep free texts: reasons, events, descriptions. They may hold names.")
    ] = False,
    keep_target_names: Annotated[
        bool, typer.Option("--keep-target-names", help="Keep names of targets and structures.")
    ] = False,
    keep_device: Annotated[
        bool, typer.Option("--keep-device", help="Keep station, serial number and software of DICOM devices.")
    ] = False,
    allow_text_in_images: Annotated[
        bool, typer.Option("--allow-text-in-images", help="Copy images that look as if text were burnt into them.")
    ] = False,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy logs, recordings and DICOM files without what names a patient, a person or a place.

    Times move by a constant for each patient, names become pseudonyms, free texts go; decisions replay as before.
    Only the link table leads back. Recordings become .npz. Exit code 3 if something was not copied.

    cinegate deidentify ~/sessions ~/shared --link ~/private/study.json
    """
    import msgspec

    from cinegate.deidentify.identities import Identities
    from cinegate.deidentify.run import Options, find
    from cinegate.deidentify.run import deidentify as copy_all

    table = output_folder("links", "links.json") if link is None else link
    _check_places(source, out, table)
    items = find(source, patient)
    identities = Identities(table)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = Options(
        patient=patient,
        keep_texts=keep_texts,
        keep_target_names=keep_target_names,
        keep_device=keep_device,
        allow_text_in_images=allow_text_in_images,
        pixel_spacing_mm=pixel_spacing_mm,
        frames_per_s=frames_per_s,
    )
    with progress("copying", len(items), shown=not as_json) as step:
        outcome = copy_all(items, out, identities, options, done=step)
    if as_json:
        print_json({**msgspec.to_builtins(outcome), "out": str(out), "link": str(table)})
        raise typer.Exit(EXIT_UNSAFE if outcome.left_out else 0)
    findings.print(
        f"{len(outcome.patients)} patients in {out}: {outcome.logs} session logs, {outcome.recordings} recordings, "
        f"{outcome.dicom} DICOM files",
        highlight=False,
        soft_wrap=True,
    )
    if outcome.messages_left_out:
        findings.print(f"{outcome.messages_left_out} messages of the logs could not be read, and were left out")
    console.print(f"link table, to be kept apart and secret: {table}", highlight=False, soft_wrap=True)
    for left in outcome.left_out:
        console.print(f"not copied: {left.path}: {left.why}", highlight=False, soft_wrap=True, markup=False)
    if outcome.left_out:
        raise CommandError(f"{len(outcome.left_out)} of {len(items)} files were not copied", EXIT_UNSAFE)
    if outcome.logs:
        next_steps(f"cinegate verify {out}/PATIENT/LOG")


def _check_places(source: Path, out: Path, link: Path) -> None:
    into, originals, table = out.resolve(), source.resolve(), link.resolve()
    if into == originals or originals in into.parents or into in originals.parents:
        raise CommandError(f"OUT is {out}; a place apart from IN ({source}) is needed")
    if into in table.parents:
        raise CommandError(f"--link is {link}, among the copies; a place that is not shared with them is needed")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CommandError(f"{out} is there already; a new or an empty folder is needed")
