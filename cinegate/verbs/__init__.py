"""The command line: one small file per verb. Heavy libraries are imported only by the verb that needs them.

A package adds verbs through an entry point of the group `cinegate.verbs` that names a module, whose import registers
them.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from cinegate.verbs.app import run_app


def register_verbs() -> None:
    """Import every verb: our own, then those of installed packages."""
    from cinegate.verbs import (  # noqa: F401 - verbs register themselves
        beam,
        bed,
        cohort,
        console,
        control,
        convert,
        couplings,
        deidentify,
        demo,
        doctor,
        dose,
        drift,
        engine,
        evaluate,
        export,
        from_plan,
        itv,
        keys,
        latency,
        live,
        outlet,
        phantom,
        positions,
        prepare,
        qa,
        record,
        report,
        run,
        sessions,
        settings,
        shadow,
        source,
        submission,
        targets,
        track,
        verify,
        whatif,
    )

    for point in sorted(entry_points(group="cinegate.verbs")):
        point.load()


def main() -> None:
    """Run the `cinegate` command."""
    run_app(register_verbs)
