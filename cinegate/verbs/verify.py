"""`cinegate verify`: is a session log as it was written, and do its decisions follow from its frames?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import EXIT_UNSAFE, CommandError, app, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption, MemoryOption
from cinegate.verbs.progress import progress
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
    chain_only: Annotated[
        bool, typer.Option("--chain-only", help="Check the log as a record only; do not replay its decisions.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The recorder's public signing key, or the folder of keys: it must have signed."),
    ] = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a log is whole, replay its frames through the engine, and compare every decision.

    Exit code 3 if the chain is broken, something is missing or contradicted, the log has no end, or a decision differs;
    the first finding is printed.
    """
    from gating.analysis.log_check import check_log
    from gating.session.signing import load_public

    checked = check_log(log, "" if key is None else load_public(key))
    if not chain_only and not checked.damage:
        from gating.analysis.verification import verify_session
        from gating.tracking.memory_file import read_memory

        remembered = None if memory is None else read_memory(memory)
        other = None if config is None else load_config(config)
        with progress(f"replaying {log.name}", checked.record.commands, shown=not as_json) as step:
            checked.replay = verify_session(log, other, tolerance_px, remembered, decided=step)
    finding = checked.finding
    if as_json:
        print_json({"log": str(log)} | checked.document())
        raise typer.Exit(EXIT_UNSAFE if finding else 0)
    if (found := checked.replay) is not None:
        findings.print(
            f"{found.commands} decisions on {found.frames} frames, {found.differences} differ "
            f"({found.hold_to_on} from hold to on, {found.on_to_hold} from on to hold), {found.given} as given"
        )
    chain = checked.chain
    findings.print(
        f"chain: {chain.sealed_messages} messages under {chain.seals} seals, {chain.unsealed_messages} after the last"
    )
    findings.print(f"digest: {chain.digest}", highlight=False)
    if chain.copy_of:
        findings.print(f"de-identified copy, whose chain was made anew, of log {chain.copy_of[:16]}", highlight=False)
    findings.print(_what_it_proves(chain.signer, given=key is not None), highlight=False)
    if finding:
        raise CommandError(f"{log.name}: {finding}", EXIT_UNSAFE)
    next_steps(f"cinegate report {log}")


def _what_it_proves(signer: str, *, given: bool) -> str:
    if not signer:
        return "not signed: this shows damage and accidents, but not a log that was rewritten as a whole"
    if not given:
        return f"signed by the key that the log names, {signer}; whose it is, only --key can show"
    return f"signed by the given key, {signer}"
