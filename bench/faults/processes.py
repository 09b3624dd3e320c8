"""The processes of a scene (engine, beam interface and recorder): started in its folder, watched and ended."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

from bench.faults.scene_files import TARGETS

GRACE_S: Final = 5.0


class Processes:
    """Named processes. The output of each goes to `<name>.out` in the folder.

    Parameters
    ----------
    folder
        Folder of the scene, with its settings and targets (`bench.faults.scene_files`).
    session
        Session of all processes.
    engine_command
        Command of the engine under test, with `{config}`, `{session}` and `{targets}`; empty for ours.
    faulty
        Start our engine and beam interface with a tracker and a switch that fail on order.
    sites
        Start our engine with the sites of its settings, not with one target file.
    """

    def __init__(
        self, folder: Path, session: str, engine_command: str = "", *, faulty: bool = False, sites: bool = False
    ) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.delivery = folder / "delivery.csv"
        """Delivery record of the simulated linac."""
        self.fault_file = folder / "tracker.fault"
        """Orders for the tracker of our engine."""
        self.switch_file = folder / "switch.fault"
        """Orders for the switch of our beam interface."""
        self.log_folder = folder / "logs"
        self._folder, self._session = folder, session
        self._engine_command, self._faulty, self._sites = engine_command, faulty, sites
        self._logs = 0
        self._outputs: list[IO[bytes]] = []

    def start_engine(self, *options: str) -> None:
        """Start the engine under test; `options` are for ours only."""
        targets, config = str(self._folder / TARGETS), str(self._folder / "engine.toml")
        if self._engine_command:
            words = shlex.split(self._engine_command)
            command = [word.format(config=config, session=self._session, targets=targets) for word in words]
        else:
            module = ["bench.faults.faulty_engine", str(self.fault_file)] if self._faulty else ["cinegate", "engine"]
            command = [sys.executable, "-m", *module, *([] if self._sites else ["--target", targets])]
            command += ["--config", config]
            command += ["--session", self._session, *options]
        self.start("engine", command)

    def start_beam(self) -> None:
        """Start the beam interface with a simulated linac without delays, which records its delivery."""
        module = ["bench.faults.faulty_beam", str(self.switch_file)] if self._faulty else ["cinegate", "beam"]
        command = [sys.executable, "-m", *module, "--config", str(self._folder / "beam.toml")]
        self.start("beam", [*command, "--session", self._session, "--delivery-record", str(self.delivery)])

    def start_recorder(self, folder: Path | None = None, *, session: str = "") -> Path:
        """Start a recorder on a new log, by default in `log_folder`, and return the path of the log."""
        self._logs += 1
        log = (folder or self.log_folder) / f"{self._logs}.mcap"
        command = [sys.executable, "-m", "cinegate", "record", str(log), "--session", session or self._session]
        self.start("recorder", [*command, "--config", str(self._folder / "recorder.toml")])
        return log

    def start(self, name: str, command: list[str]) -> None:
        """Start a process under a name. An earlier process of that name must have ended."""
        output = (self._folder / f"{name}.out").open("ab")
        self._outputs.append(output)
        self.running[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )

    def send(self, name: str, number: int) -> None:
        """Send a signal to a process."""
        self.running[name].send_signal(number)

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a process and return its exit code. It is killed if it does not end in time."""
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
        """Return a sentence for each process that has ended unasked."""
        return [
            f"{name} ended with code {process.returncode}: {self.output(name)[-200:]}"
            for name, process in self.running.items()
            if process.poll() is not None
        ]

    def memory_mb(self, name: str) -> float:
        """Return the largest resident memory of a process so far."""
        status = Path(f"/proc/{self.running[name].pid}/status").read_text(encoding="ascii")
        return next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM"))

    def output(self, name: str) -> str:
        """Return the output of a process."""
        return (self._folder / f"{name}.out").read_text(errors="replace").strip()

    def stop(self) -> None:
        """End every process, the recorder last."""
        for name in sorted(self.running, key=lambda one: one == "recorder"):
            self.end(name)
        for output in self._outputs:
            output.close()
