"""Whatever a file of settings does to a TOML reader, it is refused in one sentence."""

from __future__ import annotations

import pytest

from cinegate.console.patient import load_texts
from gating.latency.budgets import parse_budgets
from gating.qa.procedure import parse_procedure
from gating.wire.keys import allowed

NESTED = "a = " + "[" * 5000 + "]" * 5000
ENDLESS = "a = " + "9" * 5000
READERS = {
    "budgets": lambda text, folder: parse_budgets(text),
    "procedure": lambda text, folder: parse_procedure(text, "daily.toml"),
    "patient's texts": lambda text, folder: load_texts(write(folder / "texts.toml", text)),
    "allowed keys": lambda text, folder: allowed(write(folder / "allowed.toml", text).parent),
}


def write(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("text", [NESTED, ENDLESS], ids=["deep nesting", "a number of 5000 digits"])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_hurtful_text_is_refused_in_one_sentence(read, text, tmp_path):
    with pytest.raises(Exception, match=r"^.{10,300}$") as refused:
        read(text, tmp_path)
    assert not isinstance(refused.value, RecursionError)
    assert "toml" in str(refused.value) or "budgets" in str(refused.value)
