"""What this computer is and permits: for the provenance of measurements, and for `cinegate doctor`."""

from __future__ import annotations

import ctypes.util
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from gating.service.real_time import CORE_LATENCY

LIBRARIES: Final = ("cinegate", "numpy", "numba", "opencv-python", "pyzmq", "msgpack", "msgspec", "xxhash", "plotly")
SYSTEM_LIBRARIES: Final = {"GL": "libgl1", "glib-2.0": "libglib2.0-0", "xcb": "libxcb1"}
"""System libraries that opencv-python loads, and their Debian packages."""
PIPELINE_PROCESSES: Final = 4
MIN_FREE_BYTES: Final = 2**30
STALLED_US: Final = 5_000
"""On an idle computer, a sleep that ends later than this indicates power saving, a busy host or a bad clock."""

Verdict = Literal["good", "could be better", "bad", "optional"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that affects latency: what was found, and the command that improves it."""

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""


def provenance() -> dict[str, Any]:
    """Return the properties of this computer on which measurements depend."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 0,
        "cores_allowed": len(os.sched_getaffinity(0)),
        "governor": governor() or "none (virtual machine, or no frequency scaling)",
        "clock_source": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "memory_gb": round(_memory_bytes() / 2**30, 1),
        "kernel": platform.release(),
        "system": platform.platform(),
        "virtual": "hypervisor" in _read("/proc/cpuinfo"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "git_revision": git_revision(),
    }


def git_revision() -> str:
    """Return the git revision of the running source tree, with `+` if files were changed; empty outside a git tree."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        revision = _run("git", "-C", str(root), "rev-parse", "--short=12", "HEAD").strip()
        changed = _run("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no").strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return revision + ("+" if changed else "")


def governor() -> str:
    """Return the frequency governor of the first core; empty if it has none."""
    return _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def examine() -> list[Finding]:
    """Return everything that `cinegate doctor` reports, the worst first."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _privileges,
        _system_libraries,
        _kernel_cache,
        _cores,
        _load,
        _clock,
        _governor,
        _memory_lock,
        _real_time_priority,
        _core_sleep,
        _preemption,
        _sleep_lateness,
        _sockets_folder,
        _disk,
    ]
    findings = [check() for check in checks]
    return sorted(findings, key=lambda finding: ("bad", "could be better", "good").index(finding.verdict))


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.release()}"
    if sys.version_info >= (3, 11) and platform.system() == "Linux":
        return Finding("Python", "good", found)
    return Finding("Python", "bad", found, "use Python 3.11 or newer on Linux")


def _privileges() -> Finding:
    if os.geteuid() != 0:
        return Finding("privileges", "good", "not root")
    advice = 'let every process become an ordinary user once its sockets are bound: [host] run_as = "NAME"'
    return Finding("privileges", "could be better", "this is root", advice)


def _system_libraries() -> Finding:
    missing = [package for name, package in SYSTEM_LIBRARIES.items() if ctypes.util.find_library(name) is None]
    if not missing:
        return Finding("system libraries", "good", f"{', '.join(SYSTEM_LIBRARIES.values())} are installed")
    return Finding("system libraries", "bad", "OpenCV cannot load", f"sudo apt-get install -y {' '.join(missing)}")


def _kernel_cache() -> Finding:
    folder = os.environ.get("NUMBA_CACHE_DIR", "")
    if not folder or not os.access(folder, os.W_OK):
        advice = "export NUMBA_CACHE_DIR=/a/folder/that/can/be/written"
        return Finding("kernel cache", "bad", f"no folder for compiled kernels ({folder or 'none chosen'})", advice)
    files = len(list(Path(folder).rglob("*.nbc")))
    found = f"{files} compiled kernels in {folder}"
    return (
        Finding("kernel cache", "good", found)
        if files
        else Finding("kernel cache", "could be better", f"empty: {folder}", "cinegate demo   # compiles them once")
    )


def _cores() -> Finding:
    allowed = len(os.sched_getaffinity(0))
    if allowed >= PIPELINE_PROCESSES:
        return Finding("cores", "good", f"{allowed}, one for each process")
    verdict: Verdict = "could be better" if allowed >= 2 else "bad"
    advice = f"{PIPELINE_PROCESSES} cores let source, engine, beam interface and recorder run side by side"
    return Finding("cores", verdict, f"{allowed} for {PIPELINE_PROCESSES} processes", advice)


def _load() -> Finding:
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    found = f"{load:.1f} on {cores} cores in the last minute"
    if load <= 0.5 * cores:
        return Finding("other load", "good", found)
    verdict: Verdict = "could be better" if load <= cores else "bad"
    return Finding("other load", verdict, found, "ps -eo pcpu,comm --sort=-pcpu | head   # then end what is not needed")


def _clock() -> Finding:
    source = _read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    offered = _read("/sys/devices/system/clocksource/clocksource0/available_clocksource").split()
    if source in ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"):
        return Finding("clock source", "good", source)
    better = next((name for name in ("tsc", "kvm-clock") if name in offered), "")
    advice = (
        f"echo {better} | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource" if better else ""
    )
    return Finding("clock source", "could be better", source or "unknown", advice)


def _governor() -> Finding:
    name = governor()
    if name == "performance":
        return Finding("frequency governor", "good", name)
    if not name:
        return Finding("frequency governor", "good", "not visible: the host decides")
    advice = "sudo cpupower frequency-set -g performance"
    return Finding("frequency governor", "could be better", name, advice)


def _memory_lock() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    found = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft / 2**20:.0f} MB"
    if soft == resource.RLIM_INFINITY or soft >= 2 * 2**30 or os.geteuid() == 0:
        return Finding("locked memory", "good", found)
    advice = (
        f"echo '{_user()} - memlock unlimited' | sudo tee -a /etc/security/limits.d/cinegate.conf   # then log in again"
    )
    return Finding("locked memory", "could be better", found, advice)


def _real_time_priority() -> Finding:
    if may_schedule_fifo():
        return Finding("real-time priority", "good", "SCHED_FIFO is permitted")
    advice = f"echo '{_user()} - rtprio 50' | sudo tee -a /etc/security/limits.d/cinegate.conf   # then log in again"
    return Finding("real-time priority", "could be better", "SCHED_FIFO is not permitted", advice)


def may_schedule_fifo() -> bool:
    """Return whether this process may use SCHED_FIFO; a child process tries it."""
    program = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    return tried.returncode == 0


def _core_sleep() -> Finding:
    if os.access(CORE_LATENCY, os.W_OK):
        return Finding("core sleep", "good", "idle cores can be kept awake")
    if not CORE_LATENCY.exists():
        return Finding("core sleep", "could be better", f"no {CORE_LATENCY}: idle cores fall asleep")
    rule = f'KERNEL=="cpu_dma_latency", OWNER="{_user()}", MODE="0600"'
    advice = f"echo '{rule}' | sudo tee /etc/udev/rules.d/99-cinegate.rules && sudo udevadm trigger"
    return Finding("core sleep", "could be better", f"{CORE_LATENCY} cannot be written: idle cores fall asleep", advice)


def _preemption() -> Finding:
    built, chosen = platform.version().split(), _read("/proc/cmdline").split()
    if "PREEMPT_RT" in built or "PREEMPT" in built or "preempt=full" in chosen:
        return Finding("preemption", "good", "the kernel gives up a core at once")
    advice = "add preempt=full to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot"
    if "PREEMPT_DYNAMIC" not in built:
        advice = "use a kernel with PREEMPT_DYNAMIC and preempt=full, or with PREEMPT_RT"
    found = "other processes may hold a core for milliseconds inside the kernel, for example while they sync a file"
    return Finding("preemption", "could be better", found, advice)


def _sleep_lateness() -> Finding:
    import time

    late_us = []
    for _ in range(100):
        due = time.monotonic_ns() + 1_000_000
        time.sleep(1e-3)
        late_us.append((time.monotonic_ns() - due) / 1e3)
    late_us.sort()
    found = f"a 1 ms sleep ends {late_us[50]:.0f} us late, {late_us[-1]:.0f} us at worst of 100"
    if late_us[-1] < STALLED_US:
        return Finding("wake-up", "good", found)
    return Finding("wake-up", "could be better", found, "see other load and frequency governor; plug in a laptop")


def _sockets_folder() -> Finding:
    folder = Path("/tmp/cinegate")  # noqa: S108 - folder of the default endpoints, made for its owner alone
    if not folder.exists() or (folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK)):
        return Finding("sockets", "good", f"{folder} is ours or free")
    return Finding("sockets", "bad", f"{folder} belongs to another user", "set other [endpoints] in the configuration")


def _disk() -> Finding:
    stat = os.statvfs(".")
    free = stat.f_bavail * stat.f_frsize
    found = f"{free / 2**30:.1f} GB free here for session logs"
    if free >= MIN_FREE_BYTES:
        return Finding("disk", "good", found)
    return Finding(
        "disk", "bad", found, "an hour at 8 frames/s of 256x256 uint16 takes 4 GB: free some space, or use --log"
    )


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
