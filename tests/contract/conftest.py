"""Failures in the contract that test classes inherit are explained as in test modules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.beam_switch")
