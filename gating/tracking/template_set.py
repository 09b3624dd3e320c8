"""The templates of one target: its reference, and those learned from frames that were new and sure."""

from __future__ import annotations

from typing import Final

from gating.tracking.evidence import Evidence
from gating.tracking.template import Placement, Template

REFERENCE_BONUS: Final = 0.03
GENERATION_COST: Final = 0.01
GROW_CONFIDENCE: Final = 0.95
NOVELTY: Final = 0.03
"""Least drop of the score for each template in use: what they know well is not new."""
MAX_GENERATION: Final = 3
AGREEMENT_MM: Final = 1.0
MAX_FIT_SHIFT_MM: Final = 3.0


class TemplateSet:
    """The templates in use, the reference first.

    Parameters
    ----------
    reference : Template
        Cut from the reference frame; it is never given up.
    most : int
        Largest number of templates in use.

    Attributes
    ----------
    in_use : list of Template
    accepted, retired : int
        Templates learned and given up so far.
    """

    def __init__(self, reference: Template, most: int) -> None:
        self.in_use = [reference]
        self.accepted = self.retired = 0
        self._most = most
        self._fixed = False

    def fix(self, key_templates: list[Template]) -> None:
        """Use the templates of a memory beside the reference from now on, and learn no others."""
        self.in_use[1:] = key_templates
        self._fixed = True

    def worth(self, placement: Placement) -> float:
        """Return what a placement counts in a comparison; older templates first: their contours have changed less."""
        generation = self.in_use[placement.template].generation
        return placement.preference + (REFERENCE_BONUS if generation == 0 else -GENERATION_COST * generation)

    def wants(self, evidence: Evidence, confidence: float, parent: Template) -> bool:
        """Return whether a frame in which `parent` found the target looks new, and is sure enough to learn from."""
        return (
            self._most > 1
            and not self._fixed
            and confidence >= GROW_CONFIDENCE
            and parent.generation < MAX_GENERATION
            and evidence.drop >= NOVELTY * len(self.in_use)
            and evidence.disagreement_mm < AGREEMENT_MM
            and evidence.fit_shift_mm < MAX_FIT_SHIFT_MM
        )

    def add(self, grown: Template, parent: Template, now_s: float) -> str:
        """Take a new template in; the one not used for longest makes room.

        Parameters
        ----------
        grown : Template
            Cut from the newest frame.
        parent : Template
            The one that found the target there.
        now_s : float
            Time since the reference.

        Returns
        -------
        str
            One sentence for the log.
        """
        grown.generation, grown.born_s, grown.used_s = parent.generation + 1, now_s, now_s
        if len(self.in_use) >= self._most:
            self.in_use.remove(min(self.in_use[1:], key=lambda template: template.used_s))
            self.retired += 1
        self.in_use.append(grown)
        self.accepted += 1
        ages = ", ".join(f"{now_s - template.born_s:.0f}" for template in self.in_use)
        return (
            f"template accepted {now_s:.1f} s after the reference, of generation {grown.generation}; "
            f"{len(self.in_use)} in use, {ages} s old, {self.retired} given up so far"
        )
