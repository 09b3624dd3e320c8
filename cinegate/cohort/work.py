"""What is done with each session of a cohort: what a verb does with one, by the same functions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import xxhash
from msgspec import Struct
from msgspec.structs import replace

from cinegate.cohort.errors import CohortError
from cinegate.cohort.identity import PACKAGES, source_hash

if TYPE_CHECKING:
    from gating.analysis.whatif import Setting
    from gating.settings.config import Config

MEASURED: Final = ("total_runtime", "seconds_per_frame", "track_p50_ms", "track_p99_ms", "track_max_ms")
"""Times that a case took: properties of the computer and its load, and no result."""
OTHER_VERSION_S: Final = 3600.0


class Work(Protocol):
    """Work on one session; what it returns depends on its fields, the session and the code, and on nothing else."""

    def __call__(self, path: Path) -> Any:
        """Return the result, ready for JSON.

        Raises
        ------
        CinegateError, ValueError
            One sentence, where the session is the cause: it cannot be used.
        """
        ...

    def remark(self, result: Any) -> str:
        """Return what is to be listed of a result, one sentence; empty if it is as it should be."""
        ...


class Verify(Struct, frozen=True, kw_only=True):
    """As `cinegate verify`, and, with `python`, as another version does it beside this one."""

    config: Config | None = None
    tolerance_px: float = 0.0
    public: str = ""
    """Public key that must have signed every log; empty: the one that the log itself names, if any."""
    python: str = ""
    """Interpreter of another version's environment."""
    python_version: str = ""
    """What that version is; only so that its results are kept apart."""

    def __call__(self, path: Path) -> Any:
        """Return the check of a log; with another version, also its check of the log, as `other`."""
        from gating.analysis.log_check import check_log
        from gating.analysis.verification import verify_session

        checked = check_log(path, self.public)
        if not checked.damage:
            checked.replay = verify_session(path, self.config, self.tolerance_px)
        other = {"other": _verified_by(self.python, path, self.tolerance_px)} if self.python else {}
        return checked.document() | other

    def remark(self, result: Any) -> str:
        """Return the first finding."""
        return str(result["finding"])


class Figures(Struct, frozen=True, kw_only=True):
    """As `cinegate report`, without its page."""

    def __call__(self, path: Path) -> Any:
        """Return the summary of a session, and the figures of every target as `clinical`."""
        from cinegate.sessions import session_document
        from gating.analysis.figures import figures
        from gating.analysis.motion import motion_from_session
        from gating.report.summary import summarise_data
        from gating.session.summary_data import read_data

        data = read_data(path)
        found = [figures(motion) for motion in motion_from_session(data)]
        return session_document(summarise_data(data), found)

    def remark(self, result: Any) -> str:
        """Return what a torn log lacks."""
        return str(result["cut"])


class WhatIf(Struct, frozen=True, kw_only=True):
    """As `cinegate whatif`."""

    config: Config
    settings: tuple[Setting, ...]

    def __call__(self, path: Path) -> Any:
        """Return the number of frames, and the outcome under every setting, those of the front marked."""
        from cinegate.recordings import followed_recording, open_recording
        from cinegate.targets import make_targets
        from gating.analysis.whatif import pareto, sweep, why_none

        recording = open_recording(path)
        tracked = followed_recording(recording, make_targets(None, recording), self.config)
        outcomes = pareto(list(sweep(tracked, self.config, self.settings, path.stem)))
        none = next(iter(why_none(outcomes).values()), "")
        return {"frames": len(tracked.frames), "outcomes": msgspec.to_builtins(outcomes), "none": none}

    def remark(self, result: Any) -> str:
        """Return why no setting permits beam."""
        return str(result["none"])


class Evaluate(Struct, frozen=True, kw_only=True):
    """As `cinegate evaluate`, without masks, and without the times that the frames took."""

    config: Config
    prepare_frames: int = 0
    frames_per_s: float | None = None

    def __call__(self, path: Path) -> Any:
        """Return the rows of `metrics.json` of the cases of a place, and one sentence for each that was refused."""
        from cinegate.cases import read_cases
        from gating.evaluation import evaluate

        found = evaluate(
            read_cases(path, self.frames_per_s),
            None,
            self.config.tracker,
            self.config.tracking,
            prepare_frames=self.prepare_frames,
        )
        rows = [{name: value for name, value in row.items() if name not in MEASURED} for row in found.results]
        return {"results": rows, "refused": found.refused}

    def remark(self, result: Any) -> str:
        """Return why a case was refused."""
        return "; ".join(result["refused"].values())


def verify_against(against: str | None, tolerance_px: float = 0.0, public: str = "") -> Verify:
    """Return the verification against what a user names: None, settings, or the interpreter of another version.

    `tolerance_px` and `public` are those of `Verify`.

    Raises
    ------
    ConfigError, CohortError
        If it cannot be used.
    """
    plain = Verify(tolerance_px=tolerance_px, public=public)
    if against is None:
        return plain
    if not Path(against).name.startswith("python"):
        from cinegate.settings import load_config

        return replace(plain, config=load_config(against))
    return replace(plain, python=against, python_version=_version_of(against))


def _version_of(python: str) -> str:
    """Return version and hash of the code that an interpreter runs."""
    asked = (
        "import json; from importlib.util import find_spec; "
        f"print(json.dumps([find_spec(name).submodule_search_locations[0] for name in {PACKAGES!r}]))"
    )
    try:
        told = _run(python, "-c", asked)
        return source_hash(Path(folder) for folder in json.loads(told))
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        raise CohortError(f"--against {python}: this interpreter has no cinegate") from None


def result_key(content: str, name: str, work: Work, version: str) -> str:
    """Return the name under which a result is kept.

    Parameters
    ----------
    content, name
        Hash of the session, and the name of its file, which sentences repeat.
    work
        With all its settings.
    version
        Of the code, see `code_version`.
    """
    settings = msgspec.json.encode([type(work).__qualname__, work])
    return xxhash.xxh3_128_hexdigest(b"\0".join((content.encode(), name.encode(), settings, version.encode())))


def _verified_by(python: str, path: Path, tolerance_px: float) -> Any:
    try:
        told = _run(python, "-m", "cinegate", "verify", str(path), "--tolerance-px", str(tolerance_px), "--json")
        found = json.loads(told)
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise CohortError(f"{python}: cannot verify {path.name}: {error}") from None
    if "error" in found:
        raise CohortError(f"{python}: {found['error']}")
    return {name: value for name, value in found.items() if name != "log"}


def _run(*command: str) -> str:
    """Run the interpreter of another environment, without this one's folder and variables; return what it prints."""
    python, *rest = command
    run = [python, "-E", *rest]
    return subprocess.run(run, capture_output=True, text=True, check=False, cwd="/", timeout=OTHER_VERSION_S).stdout
