"""`cinegate whatif`: the same session under other gating settings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, findings, next_command, next_steps, print_json, tell_assumed_times
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    JsonOption,
    MaskOption,
    RateOption,
    SkipOption,
    SpacingOption,
    TrackerOption,
)
from cinegate.verbs.progress import progress

if TYPE_CHECKING:
    from gating.analysis.whatif import Outcome, Setting


@app.command()
def whatif(
    context: typer.Context,
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings, session logs (.mcap) or motion traces (.txt, .csv, .vxp).")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for whatif.csv and whatif.html.", show_default="~/cinegate/whatif"),
    ] = None,
    margins_mm: Annotated[str, typer.Option("--margins-mm")] = "2,3,4,5,7",
    out_percents: Annotated[str, typer.Option("--out-percent", help="Target area that may lie outside, %.")] = "5,10",
    delays_ms: Annotated[str, typer.Option("--delays-ms", help="Beam-on delays.")] = "0",
    predictors: Annotated[
        str, typer.Option("--predictors", help="off, persistence, ridge, rls, kalman.")
    ] = "off,ridge",
    latencies_ms: Annotated[str, typer.Option("--latencies-ms", help="From acquisition to beam on or off.")] = "250",
    processes: Annotated[
        int, typer.Option("--processes", min=0, max=256, help="0: as many as are useful on this host.")
    ] = 0,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sweep margin, percentage out, delay, predictor and latency; show the settings that no other one beats.

    The targets are tracked once. The real engine then decides under every setting, so the decisions are those of
    `cinegate track` with that setting, frame for frame.
    """
    from cinegate.verbs.following import followed_session
    from gating.analysis.parallel import sweep_sessions, useful_processes
    from gating.analysis.whatif import decided_setting, pareto, why_none, write_csv
    from gating.report.whatif_page import write_whatif_page

    grid = parse_grid(margins_mm, out_percents, delays_ms, predictors, latencies_ms)
    settings = load_config(config, tracker)
    outcomes: list[Outcome] = []
    counts: list[str] = []
    load = partial(
        followed_session,
        config=settings,
        target_box=target_box,
        target_mask=target_mask,
        pixel_spacing_mm=pixel_spacing_mm,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
    )
    used = processes or useful_processes(len(recordings), grid)
    shared = len({decided_setting(setting) for setting in grid})
    with progress("tracking and deciding", len(recordings) * shared, shown=not as_json) as decided:
        for path, frames, found in sweep_sessions(load, recordings, settings, grid, used, decided):
            outcomes += found
            counts.append(f"{path}: {frames} frames decided under {len(grid)} settings")
    outcomes = pareto(outcomes)
    out = out or output_folder("whatif", recordings[0].stem)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "whatif.csv", outcomes)
    write_whatif_page(out / "whatif.html", outcomes, settings)
    front = [o for o in outcomes if o.pareto]
    if as_json:
        import msgspec

        print_json(
            {
                "settings": len(grid),
                "front": [msgspec.to_builtins(o) for o in front],
                "none": why_none(outcomes),
                "out": str(out),
            }
        )
        return
    for sentence in (*counts, *why_none(outcomes).values()):
        findings.print(sentence, highlight=False)
    tell_assumed_times(assumed=any(o.times_assumed for o in outcomes))
    _print_front(front)
    findings.print(f"every setting: {out / 'whatif.csv'}\npage: {out / 'whatif.html'}", highlight=False)
    if not front:
        next_steps(f"{next_command(context, 'track', recordings[0])}, which says why frames were not trusted")
        return
    next_steps(f"look at {out / 'whatif.html'}, choose a setting, and start a session with --config FILE")


def parse_grid(margins_mm: str, out_percents: str, delays_ms: str, predictors: str, latencies_ms: str) -> list[Setting]:
    """Return every combination of the settings that options name. Raises `CommandError`."""
    from gating.analysis.whatif import settings_grid
    from gating.prediction import PREDICTORS

    methods = [name.strip() for name in predictors.split(",")]
    unknown = set(methods) - {"off", *PREDICTORS}
    if unknown:
        raise CommandError(f"--predictors: {min(unknown)!r} is unknown; known are off, {', '.join(PREDICTORS)}")
    return settings_grid(
        _numbers("--margins-mm", margins_mm, 50),
        _numbers("--out-percent", out_percents, 100),
        _numbers("--delays-ms", delays_ms, 10_000),
        methods,  # type: ignore[arg-type]  # checked above
        _numbers("--latencies-ms", latencies_ms, 2000),
    )


def _print_front(front: list[Outcome]) -> None:
    for o in sorted(front, key=lambda o: (o.recording, o.setting.latency_ms, -o.duty_cycle)):
        s = o.setting
        findings.print(
            f"{o.recording}, latency {s.latency_ms:g} ms: {s.margin_mm:g} mm, {s.out_percent:g} %, {s.predictor}, "
            f"delay {s.delay_ms:g} ms -> duty cycle {100 * o.duty_cycle:.1f} %, "
            f"residual motion {o.residual_p95_mm:.1f} mm",
            highlight=False,
        )


def _numbers(option: str, text: str, most: float) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise CommandError(f"{option} is {text!r}; numbers separated by commas are needed") from None
    for number in numbers:
        if not 0 <= number <= most:
            raise CommandError(f"{option} has {number:g}; 0 to {most:g} is allowed")
    return numbers
