"""`cinegate engine`: the process that tracks and decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    MaskOption,
    MemoryOption,
    OthersOption,
    PlanesOption,
    TrackerOption,
    load_scan_targets,
    load_targets,
)
from cinegate.verbs.process_options import (
    SessionOption,
    refuse_given,
)
from cinegate.verbs.speaking import LogFormatOption, VerboseOption, name_overrides, speaking
from gating.wire.security import secure_process

if TYPE_CHECKING:
    from gating.targets.spec import TargetSpec


@app.command()
def engine(
    session: SessionOption = "session",
    target: Annotated[
        Path | None,
        typer.Option("--target", help="Targets that `cinegate targets` made, or the log of a session to go on with."),
    ] = None,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="Recording with its own target, or one that the box or mask must fit."),
    ] = None,
    plane: PlanesOption = "",
    others: OthersOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    memory: MemoryOption = None,
    arm_by_itself: Annotated[
        bool, typer.Option("--arm-by-itself", help="Arm without an operator; for recordings and phantoms only.")
    ] = False,
    site: Annotated[
        str, typer.Option("--site", help="Site to begin with, of those in the configuration; else its first one.")
    ] = "",
    end_with_stream: Annotated[bool, typer.Option("--end-with-stream", help="Exit when the stream ends.")] = False,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Track and decide: the engine process."""
    from cinegate.targets import named_targets, site_targets, with_memory
    from gating.service.service import EngineService
    from gating.wire.sockets import stop_on_signals

    settings = load_config(config, tracker)
    secure_process(settings, "engine")
    sites: dict[str, list[TargetSpec]] = {}
    if settings.sites:
        given = {"--target": target, "--target-box": target_box, "--target-mask": target_mask, "--memory": memory}
        refuse_given(
            {**given, "--reference": reference}, "is for a session without sites; a site names its target file"
        )
        sites = site_targets(settings.sites)
        site = site or next(iter(sites))
    if site and site not in sites:
        raise CommandError(f"--site {site} is not in the configuration; its sites are {', '.join(sites) or 'none'}")
    if sites:
        targets = sites[site]
    elif target is not None:
        targets = with_memory(named_targets(target), memory)
    else:
        targets = with_memory(_targets_in(reference, plane, others or [], target_box, target_mask), memory)
    stop = stop_on_signals()
    with speaking("engine", session, verbose=verbose, log_format=log_format):
        name_overrides("engine", settings)
        service = EngineService(
            settings,
            targets,
            session,
            sites=sites,
            site=site,
            arm_by_itself=arm_by_itself,
            end_with_stream=end_with_stream,
        )
        service.run(stop)


def _targets_in(
    reference: Path | None, plane: str, others: list[Path], box: str | None, mask: Path | None
) -> list[TargetSpec]:
    if reference is None:
        return load_targets(None, box, mask)
    from drivers.recordings.scan import open_scan

    return load_scan_targets(open_scan(reference, plane=plane, others=others), box, mask, None)
