"""Judge a tracker on truth that resembles patients, and on real recordings: `python -m bench.truth`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bench.truth.judge import Orders, judge
from bench.truth.people import DATA, PEOPLE
from bench.truth.scenarios import SCENARIOS
from bench.truth.subjects import earlier_scenes, recordings, scenes
from bench.truth.table import LEGEND, as_json, comparison, read_earlier, table
from gating.settings.private_file import private_file


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.truth", description=__doc__)
    parser.add_argument("--tracker", default="template", help="name in the registry of trackers")
    parser.add_argument("--scenario", action="append", default=[], choices=sorted(SCENARIOS), help="all if left out")
    parser.add_argument("--person", action="append", default=[], choices=sorted(PEOPLE), help="all if left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N")
    parser.add_argument("--only", choices=("scenes", "recordings"), help="both if left out")
    parser.add_argument("--earlier", action="store_true", help="also the scenes of bench.semi_synthetic, 15 s each")
    parser.add_argument(
        "--prepare-frames", type=int, default=0, metavar="N", help="frames of the preparation, not scored"
    )
    parser.add_argument("--by", choices=("group", "person", "name"), default="group", help="one row for each")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--against", type=Path, help="compare with a file that --json wrote")
    parser.add_argument("--pictures", type=Path, help="write the worst frames to this folder, as PNG")
    parser.add_argument("--worst", type=int, default=2, metavar="N", help="pictures per recording")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes")
    return parser


def main() -> None:
    """Print one table, and what has changed against an earlier run."""
    parser = options()
    given = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"the recordings are not at {DATA} (set CINEGATE_DATA)")
    try:
        earlier = None if given.against is None else read_earlier(given.against)
    except (OSError, ValueError) as error:
        parser.error(f"--against: {error}")
    subjects = [] if given.only == "recordings" else list(scenes(given.scenario, given.person, given.seeds))
    subjects += list(earlier_scenes(given.seeds)) if given.earlier else []
    subjects += [] if given.only == "scenes" or given.scenario or given.person else list(recordings())
    orders = Orders(given.tracker, given.prepare_frames, given.pictures, given.worst)
    verdict = judge(subjects, orders, given.jobs, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"tracker {given.tracker}, seeds {given.seeds}\n\n{table(verdict.rows(given.by))}\n\n{LEGEND}")
    for name, sentence in verdict.refused().items():
        print(f"refused: {name}: {sentence}")
    if given.json is not None:
        private_file(given.json).write_text(json.dumps(as_json(verdict, orders, given.seeds), indent=1) + "\n")
    if earlier is not None:
        print(f"\n{given.against} > now\n\n{comparison(verdict.rows(), earlier)}")


if __name__ == "__main__":
    main()
