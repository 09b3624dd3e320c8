"""What `cinegate doctor` finds, and how it says what to change."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from cinegate.verbs.doctor import doctor
from gating.service.host import Finding, examine

CMDLINE = Path("/proc/cmdline")


def found(subject: str) -> Finding:
    return next(finding for finding in examine() if finding.subject == subject)


@pytest.mark.parametrize(
    ("version", "chosen", "verdict", "advised"),
    [
        pytest.param(
            "#1 SMP PREEMPT_DYNAMIC Debian 6.1", "quiet", "could be better", "preempt=full to GRUB", id="dynamic"
        ),
        pytest.param("#1 SMP PREEMPT_DYNAMIC Debian 6.1", "quiet preempt=full", "good", "", id="dynamic full"),
        pytest.param("#1 SMP PREEMPT_RT Debian 6.1", "quiet", "good", "", id="real time"),
        pytest.param("#1 SMP PREEMPT Debian 6.1", "quiet", "good", "", id="full"),
        pytest.param("#1 SMP Debian 6.1", "quiet", "could be better", "PREEMPT_RT", id="none"),
    ],
)
def test_a_kernel_that_preempts_late_is_reported_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, version: str, chosen: str, verdict: str, advised: str
) -> None:
    monkeypatch.setattr(platform, "version", lambda: version)
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *given, **named: chosen if path == CMDLINE else read(path, *given, **named)
    )
    finding = found("preemption")
    assert finding.verdict == verdict
    assert advised in finding.advice


def test_advice_is_printed_with_its_brackets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Finding("privileges", "could be better", "this is root", 'set [host] run_as = "NAME"')
    monkeypatch.setattr("cinegate.verbs.doctor.examine", lambda: [said])
    doctor(strict=False, serial=None, as_json=False)
    assert 'privileges: set [host] run_as = "NAME"' in capsys.readouterr().out
