"""The frame of the command line: one typer application, exit codes, and errors as one sentence."""

from __future__ import annotations

import json
import logging
import shlex
import signal
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from cinegate.verbs.terminal import PlainConsole, plain
from gating.messages import ASSUMED_TIME_MEANS

EXIT_BAD_INPUT: Final = 2
EXIT_UNSAFE: Final = 3

app = typer.Typer(
    name="cinegate",
    help="Real-time gating and tumour tracking for MR-linacs. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = PlainConsole(stderr=True)
"""For people: progress, warnings and next steps, on standard error."""
findings = PlainConsole()
"""What a verb found, on standard output. With `--json`, `print_json` has it alone."""


def next_steps(*commands: str) -> None:
    """Print on standard error what can be done with the result, one command a line."""
    for command in commands:
        console.print(f"next: {command}", highlight=False, soft_wrap=True)


def next_command(context: typer.Context, verb: str, *words: object) -> str:
    """Return a command of another verb that goes on with the present one.

    Parameters
    ----------
    context
        Of the present command: the options that the user gave and that `verb` takes too are repeated.
    verb, words
        The other verb and what it is given itself.
    """
    group: Any = context.find_root().command
    flags = {option.name: option.opts[0] for option in group.commands[verb].params if option.opts[0].startswith("--")}
    said = [str(word) for word in words]
    for name, value in context.params.items():
        source, flag = context.get_parameter_source(name), flags.get(name)
        if flag is None or flag in (*said, "--out", "--json") or source is None or source.name != "COMMANDLINE":
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            said += [flag] if one is True else [flag, str(one)]
    return shlex.join(["cinegate", verb, *said])


def tell_assumed_times(*, assumed: bool) -> None:
    """Say among the findings that the times of a recording follow from a rate that the user gave, if they do."""
    if assumed:
        findings.print(Text(ASSUMED_TIME_MEANS, style="red"))


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"cinegate {version('cinegate')}\n")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


class CommandError(Exception):
    """The command cannot go on: one sentence and an exit code."""

    def __init__(self, sentence: str, exit_code: int = EXIT_BAD_INPUT) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def print_json(result: dict[str, Any]) -> None:
    """Print one JSON object for machines; NaN and infinity become null."""
    json.dump(_finite(result), sys.stdout, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value


def run_app(register: Callable[[], None]) -> None:
    """Run the command line. Known errors become one sentence on standard error and an exit code.

    SIGTERM and a terminal that closes unwind as Ctrl-C does, so that a verb ends the processes that it has started.
    Some verbs catch them themselves.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit(EXIT_UNSAFE))
    warnings.showwarning = _tell
    _show_log()
    register()
    from drivers.errors import DriverError
    from gating.service.pipeline import PipelineError
    from gating.settings.config import ConfigError

    try:
        app(standalone_mode=True)
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except PipelineError as error:
        _fail(str(error), EXIT_UNSAFE)
    except OSError as error:
        named = error.filename is not None and error.strerror is not None
        _fail(f"{error.filename}: {error.strerror}" if named else str(error), EXIT_BAD_INPUT)
    except (DriverError, ConfigError, ValueError) as error:
        _fail(str(error), EXIT_BAD_INPUT)


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as one sentence, without the line of code that it comes from."""
    sys.stderr.write(plain(f"cinegate: {message}\n"))


def _show_log() -> None:
    """Show on standard error that kernels are compiled, where no process of a session tells all that it logs."""
    ours, kernels, shown = logging.getLogger("cinegate"), logging.getLogger("cinegate.kernels"), logging.StreamHandler()
    shown.setFormatter(logging.Formatter("cinegate: %(message)s"))
    shown.addFilter(lambda _: all(isinstance(handler, logging.NullHandler) for handler in ours.handlers))
    kernels.addHandler(shown)
    kernels.setLevel(logging.INFO)


def _fail(sentence: str, exit_code: int) -> None:
    if "--json" in sys.argv:
        print_json({"error": sentence})
    sys.stderr.write(plain(f"cinegate: {sentence}\n"))
    sys.exit(exit_code)
