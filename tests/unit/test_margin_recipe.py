"""The margin recipe, against a simulation of patients that shares nothing with it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from gating.analysis.margin_recipe import PENUMBRA_MM, MarginRecipe

LUNG, WATER = PENUMBRA_MM["lung"], PENUMBRA_MM["water"]


def covered(recipe: MarginRecipe, margin_mm: float, systematic_mm: float, random_mm: float, blur_mm: float) -> float:
    """Return the share of simulated patients whose target receives the isodose everywhere.

    The least dose is looked for in random directions between those of the errors; many fractions blur it exactly.
    """
    rng = np.random.default_rng(5)
    patients, fractions = 8_000, recipe.fractions or 1
    errors = systematic_mm * rng.normal(size=(patients, 1, recipe.dimensions))
    penumbra = np.hypot(recipe.penumbra_mm, blur_mm)
    if recipe.fractions is None:
        penumbra = np.hypot(penumbra, random_mm)
    else:
        errors = errors + random_mm * rng.normal(size=(patients, fractions, recipe.dimensions))
    edge_mm = margin_mm + recipe.beta * recipe.penumbra_mm
    least = np.ones(patients)
    for number in range(20 if fractions > 1 else 1):
        weights = rng.exponential(size=(patients, fractions)) ** 3 if number else np.ones((patients, fractions))
        unit = np.einsum("pf,pfd->pd", weights, errors)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        dose = ndtr((edge_mm - np.einsum("pfd,pd->pf", errors, unit)) / penumbra).mean(axis=1)
        least = np.minimum(least, dose)
    return float((least >= recipe.isodose - 1e-9).mean())


@pytest.mark.parametrize("fractions", [1, 3, 5, None])
@pytest.mark.parametrize(
    ("isodose", "penumbra_mm", "dimensions", "errors_mm"),
    [(0.95, WATER, 3, (2.0, 3.0, 0.0)), (0.8, LUNG, 2, (1.0, 3.0, 2.0)), (0.95, WATER, 1, (0.5, 2.0, 1.0))],
)
def test_the_margin_covers_90_percent_of_patients(fractions, isodose, penumbra_mm, dimensions, errors_mm) -> None:
    recipe = MarginRecipe(isodose=isodose, penumbra_mm=penumbra_mm, fractions=fractions, dimensions=dimensions)
    margin_mm = recipe.margin_mm(*errors_mm)
    assert covered(recipe, margin_mm, *errors_mm) == pytest.approx(0.9, abs=0.01)


def test_the_common_short_cut_for_few_fractions_covers_fewer() -> None:
    """sigma^2 / N as systematic and the rest as blur: why a few fractions are simulated."""
    recipe = MarginRecipe(fractions=5)
    short_mm = MarginRecipe().margin_mm(np.hypot(1.0, 3.0 / 5**0.5), 3.0 * 0.8**0.5)
    assert covered(recipe, short_mm, 1.0, 3.0, 0.0) < 0.76
    assert covered(recipe, recipe.margin_mm(1.0, 3.0), 1.0, 3.0, 0.0) == pytest.approx(0.9, abs=0.01)


def test_the_factors_are_those_of_van_herk() -> None:
    assert MarginRecipe().margin_mm(1.0, 0.0) == pytest.approx(2.5, abs=0.001)
    assert MarginRecipe().margin_mm(2.0, 3.2) == pytest.approx(5.0 + 1.64 * (3.2 * 2**0.5 - 3.2), abs=0.01)
    assert [MarginRecipe(dimensions=d).alpha for d in (1, 2, 3)] == pytest.approx([1.64, 2.15, 2.50], abs=0.005)
    assert [MarginRecipe(isodose=level).beta for level in (0.95, 0.8)] == pytest.approx([1.64, 0.84], abs=0.005)


def test_one_fraction_makes_every_error_of_it_systematic() -> None:
    assert MarginRecipe(fractions=1).margin_mm(3.0, 4.0, 1.0) == pytest.approx(MarginRecipe().margin_mm(5.0, 0.0, 1.0))


def test_the_more_fractions_the_smaller_the_margin() -> None:
    margins_mm = [MarginRecipe(fractions=count).margin_mm(1.0, 3.0) for count in (1, 3, 5, 15)]
    assert margins_mm == sorted(margins_mm, reverse=True)
    assert margins_mm[-1] > MarginRecipe().margin_mm(1.0, 3.0)
