"""The processes of a scene: engine, beam interface and recorder, started in its folder, watched, ended."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

GRACE_S: Final = 5.0


class Processes:
    """Named processes; what each prints goes to `<name>.out` in the folder.

    Parameters
    ----------
    folder
        Of the scene, with its settings and targets (`bench.faults.scene_files`).
    session
        That all of them belong to.
    engine_command
        Of the engine under test, with `{config}`, `{session}`, `{targets}`; ours if empty.
    faulty
        Start our engine and beam interface with a tracker and a switch that can be made to fail.
    """

    def __init__(self, folder: Path, session: str, engine_command: str = "", *, faulty: bool = False) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.delivery = folder / "delivery.csv"
        """What the simulated linac records."""
        self.fault_file = folder / "tracker.fault"
        """What is written here happens in our engine's tracker."""
        self.switch_file = folder / "switch.fault"
        """What is written here happens in our beam interface's switch."""
        self.log_folder = folder / "logs"
        self._folder, self._session = folder, session
        self._engine_command, self._faulty = engine_command, faulty
        self._logs = 0
        self._outputs: list[IO[bytes]] = []

    def start_engine(self) -> None:
        """Start the engine under test."""
        targets, config = str(self._folder / "targets.json"), str(self._folder / "engine.toml")
        if self._engine_command:
            words = shlex.split(self._engine_command)
            command = [word.format(config=config, session=self._session, targets=targets) for word in words]
        else:
            module = ["bench.faults.faulty_engine", str(self.fault_file)] if self._faulty else ["cinegate", "engine"]
            command = [sys.executable, "-m", *module, "--target", targets, "--config", config]
            command += ["--session", self._session]
        self.start("engine", command)

    def start_beam(self) -> None:
        """Start the beam interface with a simulated linac that records what it delivers, without delay."""
        module = ["bench.faults.faulty_beam", str(self.switch_file)] if self._faulty else ["cinegate", "beam"]
        command = [sys.executable, "-m", *module, "--config", str(self._folder / "beam.toml")]
        self.start("beam", [*command, "--session", self._session, "--delivery-record", str(self.delivery)])

    def start_recorder(self, folder: Path | None = None) -> Path:
        """Start a recorder on a new log, in `log_folder` unless told otherwise, and return its path."""
        self._logs += 1
        log = (folder or self.log_folder) / f"{self._logs}.mcap"
        command = [sys.executable, "-m", "cinegate", "record", str(log), "--session", self._session]
        self.start("recorder", [*command, "--config", str(self._folder / "recorder.toml")])
        return log

    def start(self, name: str, command: list[str]) -> None:
        """Start a process under a name; an earlier one of that name must have ended."""
        output = (self._folder / f"{name}.out").open("ab")
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
        return (self._folder / f"{name}.out").read_text(errors="replace").strip()

    def stop(self) -> None:
        """End everything: the beam first asked to hold, the recorder last."""
        for name in sorted(self.running, key=lambda one: one == "recorder"):
            self.end(name)
        for output in self._outputs:
            output.close()
