"""`cinegate shadow`: our decisions beside those of a clinical system, live or from files, without a beam line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, findings, next_steps, print_json
from cinegate.verbs.options import BoxOption, ConfigOption, JsonOption, MaskOption, SpacingOption, load_targets
from cinegate.verbs.process_options import OptionsOption, SpeedOption

if TYPE_CHECKING:
    from cinegate.shadow.agreement import Agreement
    from cinegate.shadow.live import Vendor
    from cinegate.shadow.sides import Side
    from gating.settings.config import Config
    from gating.targets.spec import TargetSpec


@app.command()
def shadow(
    source: Annotated[str, typer.Argument(help="A session log, or a recording or source to decide on as it runs.")],
    vendor: Annotated[
        str,
        typer.Option("--vendor", help="CSV of states, .bin folder, session log, or gate endpoint of another engine."),
    ],
    option: OptionsOption = None,
    target: Annotated[
        Path | None, typer.Option("--target", help="Targets that `cinegate targets` made, for a source by name.")
    ] = None,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    pixel_spacing_mm: SpacingOption = None,
    speed: SpeedOption = "1",
    config: ConfigOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for log and page.", show_default="~/cinegate/shadow")
    ] = None,
    offset_s: Annotated[
        float | None, typer.Option("--offset-s", help="Added to their times; by default found from the data.")
    ] = None,
    max_offset_s: Annotated[float, typer.Option("--max-offset-s", min=0.1, max=300, help="Largest to look for.")] = 10,
    tolerance_ms: Annotated[
        float | None, typer.Option("--tolerance-ms", min=0, help="Longest gate difference that is not listed.")
    ] = None,
    apart_mm: Annotated[float, typer.Option("--apart-mm", min=0, help="Distance of centres that is listed.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Compare our decisions with a clinical system's: agreement, and each disagreement with its frames.

    No beam interface is started, and no command is published: our decisions go into a log. Ctrl-C ends a live one.

    cinegate shadow session.mcap --vendor states.csv
    """
    from cinegate.shadow.agreement import compare
    from cinegate.shadow.live import vendor_of
    from cinegate.shadow.offset import Offset, estimate_offset
    from cinegate.shadow.page import offset_in_words, shadow_page
    from cinegate.shadow.sides import read_session_side
    from gating.geometry.plane import ImagePlane
    from gating.settings.private_file import private_file

    folder, other = out or output_folder("shadow"), vendor_of(vendor)
    given = None if offset_s is None else Offset(seconds=offset_s, by="given")

    def compared(ours: Side, theirs: Side) -> Agreement:
        offset = given or estimate_offset(ours, theirs, max_offset_s)
        return compare(ours, theirs, offset, tolerance_ms=tolerance_ms, apart_mm=apart_mm)

    def tell(ours: Side) -> None:
        with suppress(ValueError):  # the other system has said too little yet, or the clocks cannot be told apart
            found = compared(ours, other.side(None))
            console.print(f"{_in_words(found)}; their times {offset_in_words(found.offset)}", highlight=False)

    log = Path(source)
    if log.suffix != ".mcap":
        log = _run(source, option, _targets(source, target, target_box, target_mask, pixel_spacing_mm), folder, other,
                   load_config(config), speed, pixel_spacing_mm, tell)  # fmt: skip
    data, ours = read_session_side(log)
    theirs = other.side(ImagePlane.of(next(iter(data.frames.values()))))
    found = compared(ours, theirs)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{log.stem}.shadow.html"
    private_file(path).write_text(shadow_page(found, ours, theirs, data), encoding="utf-8")
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(found), "log": str(log), "page": str(path)})
        return
    findings.print(f"clocks: their times {offset_in_words(found.offset)}", highlight=False, soft_wrap=True)
    findings.print(_in_words(found), highlight=False, soft_wrap=True)
    for one in found.disagreements:
        apart = "" if one.distance_mm is None else f", {one.distance_mm:.1f} mm apart"
        frames = f"frames {one.first_frame} to {one.last_frame}"
        findings.print(
            f"{one.begin_s:8.2f} s  {one.kind} for {one.duration_ms:.0f} ms{apart}, {frames}", highlight=False
        )
    next_steps(f"open {path}")


def _targets(
    source: str, target: Path | None, box: str | None, mask: Path | None, spacing_mm: float | None
) -> list[TargetSpec]:
    from cinegate.targets import named_targets
    from drivers.recordings import open_recording
    from drivers.registry import source_names

    if target is not None:
        return named_targets(target)
    if source in source_names():
        raise CommandError(f"{source} is a source by name, and needs --target FILE, which `cinegate targets` makes")
    return load_targets(open_recording(source, spacing_mm), box, mask)


def _run(
    source: str,
    option: list[str] | None,
    targets: list[TargetSpec],
    folder: Path,
    vendor: Vendor,
    config: Config,
    speed: str,
    spacing_mm: float | None,
    tell: Callable[[Side], None],
) -> Path:
    """Run a shadow session to its end, and say how it goes."""
    from cinegate.replays import parse_speed
    from cinegate.shadow.live import run_shadow
    from drivers.registry import source_names
    from gating.wire.sockets import stop_on_signals

    by_name = source in source_names()
    if not by_name and not parse_speed(speed)[0].is_timed:
        raise CommandError(f"--speed is {speed}; a shadow session answers no source, so a factor is needed")
    spacing = [] if spacing_mm is None else ["--pixel-spacing-mm", f"{spacing_mm}"]
    options = [word for one in option or [] for word in ("-o", one)]
    arguments = [source, *options] if by_name else [str(Path(source).resolve()), "--speed", speed, *spacing]
    console.print("shadow session: no beam line is driven; Ctrl-C ends it")
    return run_shadow(config, targets, arguments, folder, vendor, stop=stop_on_signals(), tell=tell)


def _in_words(found: Agreement) -> str:
    said = [f"{found.frames} frames in {found.overlap_s:.0f} s"]
    if found.kappa is not None:
        said.append(f"kappa {found.kappa:.3f}")
    for name, part in (("we hold", found.we_hold_when_they_do), ("they hold", found.they_hold_when_we_do)):
        if part is not None:
            said.append(f"{name} in {100 * part:.1f} % of the frames in which {_other(name)}")
    if found.distance_p95_mm is not None:
        said.append(f"centres within {found.distance_p95_mm:.1f} mm in 95 %")
    listed = len(found.disagreements)
    said.append(f"{listed} disagreement{'' if listed == 1 else 's'}")
    said.append(f"{found.short_differences} differences within the frames' intervals")
    return ", ".join(said)


def _other(name: str) -> str:
    return "they do" if name == "we hold" else "we do"
