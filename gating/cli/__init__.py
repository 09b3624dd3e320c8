"""The command line: one small file a verb. Heavy libraries load only inside the verb that needs them."""

from __future__ import annotations

from gating.cli.app import run_app


def _register() -> None:
    from gating.cli import (  # noqa: F401 - verbs register
        bed,
        bench,
        demo,
        doctor,
        drift,
        evaluate,
        faults,
        itv,
        keys,
        latency,
        prepare,
        processes,
        report,
        run,
        settings,
        soak,
        submission,
        track,
        verify,
        whatif,
    )


def main() -> None:
    """Entry point of the `cinegate` command."""
    run_app(_register)
