"""How well stated confidences agree with what came true: tables, figures and the reliability diagram.

Sources: Brier score: G. W. Brier, Mon. Weather Rev. 78(1), 1950, doi
10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; expected calibration error: M. P. Naeini et al., AAAI 2015, with ten
bins of equal width.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gating.evaluation.score import CONFIDENT

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
PICTURE: Final = Path(__file__).parents[1] / "docs" / "img" / "reliability.svg"
EDGES: Final = tuple(np.linspace(0.0, 1.0, 11).tolist())
COLOURS: Final = ("#1668b0", "#c05020")


class Frames(NamedTuple):
    """What was stated of n frames, and what came true.

    Attributes
    ----------
    stated : (n,) float64
        Confidence.
    good, wrong : (n,) bool
        Whether right, and whether wrong by more than 3 mm.
    vetoed : (n,) bool
        Whether a veto refused the frame.
    """

    stated: Array
    good: Flags
    wrong: Flags
    vetoed: Flags

    def where(self, kept: Flags) -> Frames:
        """Return some of the frames."""
        return Frames(self.stated[kept], self.good[kept], self.wrong[kept], self.vetoed[kept])

    @classmethod
    def joined(cls, parts: Iterable[Frames]) -> Frames:
        """Return the frames of several groups as one."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Stated confidences, and what came true, by group of frames."""

    groups: dict[str, Frames]

    def all(self) -> Frames:
        """Return the frames of all groups as one."""
        return Frames.joined(self.groups.values())

    def unrefused(self) -> Verdict:
        """Return the verdict on the frames that were given a probability: a veto is a refusal, not one."""
        return Verdict({name: group.where(~group.vetoed) for name, group in self.groups.items()})

    def brier(self) -> float:
        """Return the mean square difference of what was stated and what came true."""
        stated, good, _, _ = self.all()
        return float(((stated - good) ** 2).mean())

    def bins(self) -> list[tuple[float, float, int]]:
        """Return for each bin that is not empty: mean stated confidence, observed fraction, frames."""
        stated, good, _, _ = self.all()
        found = []
        for low, high in itertools.pairwise(EDGES):
            inside = (stated >= low) & ((stated < high) | (high == 1.0))
            if inside.any():
                found.append((float(stated[inside].mean()), float(good[inside].mean()), int(inside.sum())))
        return found

    def calibration_error(self) -> float:
        """Return the expected calibration error."""
        bins = self.bins()
        return sum(count * abs(mean - observed) for mean, observed, count in bins) / sum(row[2] for row in bins)

    def table(self) -> str:
        """Return a row for each group, and the figures of all."""
        lines = ["| scenes | frames | right | confident | confident, not right | confident and > 3 mm |",
                 "|---|---|---|---|---|---|"]  # fmt: skip
        rows = {**self.groups, "all": self.all()}
        for name, (stated, good, wrong, _) in rows.items():
            sure = stated >= CONFIDENT
            lines.append(
                f"| {name} | {len(stated)} | {good.mean():.3f} | {sure.mean():.3f} | {int((sure & ~good).sum())} "
                f"| {int((sure & wrong).sum())} |"
            )
        every, judged = self.all(), self.unrefused()
        lines += ["", f"All frames: Brier score {self.brier():.4f}, expected calibration error "
                  f"{self.calibration_error():.3f}"]  # fmt: skip
        if every.vetoed.any():
            refused, right = every.vetoed.mean(), every.good[every.vetoed].mean()
            lines += [f"Without the {refused:.1%} that a veto refused ({right:.1%} of them right): Brier score "
                      f"{judged.brier():.4f}, expected calibration error {judged.calibration_error():.3f}"]  # fmt: skip
        lines += ["", "| stated | came true | frames |", "|---|---|---|"]
        lines += [f"| {mean:.3f} | {observed:.3f} | {count} |" for mean, observed, count in judged.bins()]
        return "\n".join(lines)


def judged(parts: Iterable[tuple[str, Frames]]) -> Verdict:
    """Return the verdict on frames, each part with the name of its group."""
    groups: dict[str, list[Frames]] = {}
    for group, frames in parts:
        groups.setdefault(group, []).append(frames)
    return Verdict({group: Frames.joined(rows) for group, rows in groups.items()})


def draw(path: Path, verdicts: Mapping[str, Verdict]) -> None:
    """Draw the reliability diagram as SVG, a colour for each model. The area of a dot grows with its frames."""
    size, pad = 360, 50

    def at(x: float, y: float) -> tuple[float, float]:
        return pad + x * size, pad + (1.0 - y) * size

    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size + 2 * pad}" height="{size + 2 * pad}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="black"/>',
        f'<path d="M{x0} {y0}L{x1} {y1}" stroke="gray" stroke-dasharray="4"/>',
    ]
    for tick in np.linspace(0, 1, 6):
        (x, _), (_, y) = at(tick, 0), at(0, tick)
        parts.append(f'<text x="{x}" y="{y0 + 18}" text-anchor="middle">{tick:.1f}</text>')
        parts.append(f'<text x="{x0 - 8}" y="{y + 4}" text-anchor="end">{tick:.1f}</text>')
    for place, (name, verdict) in enumerate(verdicts.items()):
        bins = verdict.unrefused().bins()
        total = sum(count for _, _, count in bins)
        for mean, observed, count in bins:
            x, y = at(mean, observed)
            radius = 3 + 22 * np.sqrt(count / total)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{COLOURS[place]}" fill-opacity="0.5"/>'
            )
        parts.append(f'<text x="{x0 + 10}" y="{y1 + 16 * (place + 1)}" fill="{COLOURS[place]}">{name.lower()}</text>')
    parts.append(f'<text x="{x0 + size / 2}" y="{y0 + 40}" text-anchor="middle">stated confidence</text>')
    parts.append(
        f'<text transform="translate(14 {y0 - size / 2}) rotate(-90)" text-anchor="middle">'
        "fraction that was right</text></svg>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")
