"""The processes of a scene: started in a folder of their own, watched, ended."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

GRACE_S: Final = 5.0


@dataclass
class Processes:
    """Named processes; what each prints goes to `<name>.out` in the folder."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _outputs: list[IO[bytes]] = field(default_factory=list)

    def start(self, name: str, command: list[str]) -> None:
        """Start a process under a name; an earlier one of that name must have ended."""
        output = (self.folder / f"{name}.out").open("ab")
        self._outputs.append(output)
        self.running[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )

    def send(self, name: str, number: int) -> None:
        """Send a signal."""
        self.running[name].send_signal(number)

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a process and return its exit code; what does not end in time is killed."""
        process = self.running.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        try:
            return process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def died(self) -> list[str]:
        """Return a sentence for each process that ended without being asked to."""
        return [
            f"{name} ended with code {process.returncode}: {self.said(name)[-200:]}"
            for name, process in self.running.items()
            if process.poll() is not None
        ]

    def memory_mb(self, name: str) -> float:
        """Return the largest resident memory that a process has had."""
        status = Path(f"/proc/{self.running[name].pid}/status").read_text(encoding="ascii")
        return next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM"))

    def said(self, name: str) -> str:
        """Return what a process printed."""
        return (self.folder / f"{name}.out").read_text(errors="replace").strip()

    def stop(self) -> None:
        """End everything: the beam first asked to hold, the recorder last."""
        for name in sorted(self.running, key=lambda one: one == "recorder"):
            self.end(name)
        for output in self._outputs:
            output.close()
