"""`cinegate verify`: is a session log as it was written, and do its decisions follow from its frames?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import EXIT_UNSAFE, CommandError, app, console, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.report import LogArgument


@app.command()
def verify(
    log: LogArgument,
    config: Annotated[
        Path | None, typer.Option("--config", help="Other settings, to show which decisions would differ.")
    ] = None,
    tolerance_px: Annotated[
        float, typer.Option("--tolerance-px", min=0.0, max=1.0, help="0: bit for bit; 0.02 on another machine.")
    ] = 0.0,
    chain_only: Annotated[bool, typer.Option("--chain-only", help="Check the hash chain only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a log's hash chain, replay its frames through the engine, and compare every decision.

    Exit code 3 if the chain is broken or a decision differs; the first difference is printed.
    """
    import msgspec

    from gating.session.chain_check import check_chain

    chain = check_chain(log)
    result = {"chain": msgspec.to_builtins(chain), "identical": not chain.broken, "log": str(log)}
    first = chain.broken
    if not chain_only and not chain.broken:
        from gating.analysis.verification import verify_session

        found = verify_session(log, None if config is None else load_config(config), tolerance_px)
        first = found.first_difference
        result |= {"replay": msgspec.to_builtins(found), "identical": found.differences == 0}
        console.print(
            f"{found.commands} decisions on {found.frames} frames, {found.differences} differ "
            f"({found.hold_to_on} from hold to on, {found.on_to_hold} from on to hold), {found.given} as given"
        )
    if as_json:
        print_json(result)
        raise typer.Exit(EXIT_UNSAFE if first else 0)
    console.print(
        f"chain: {chain.sealed_messages} messages under {chain.seals} seals, {chain.unsealed_messages} after the last"
    )
    console.print(f"digest: {chain.digest}", highlight=False)
    if first:
        raise CommandError(f"{log.name}: {first}", EXIT_UNSAFE)
