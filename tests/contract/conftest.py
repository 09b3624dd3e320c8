"""The contract that test classes inherit explains its failures as test modules do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.beam_switch")
