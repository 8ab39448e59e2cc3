"""Where a number comes from: code, pins, versions, machine. No paths and no user names."""

import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from avss.files import ROOT, sha256

PACKAGES = ("torch", "transformers", "datasets", "numpy", "scipy", "pandas")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def hardware(device: str) -> dict:
    """Processor, cores and threads used, and the accelerator where `device` is one."""
    import torch

    facts = {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "device": device}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        facts |= {"accelerator": properties.name, "accelerator_memory_gib": round(properties.total_memory / 2**30, 1)}
        facts["cuda"] = torch.version.cuda
    return facts


def peak_memory_mb() -> float:
    """The most memory that this process has held so far, in MiB.

    Where it uses accelerators, the sum of their own peaks since `forget_peak`.
    """
    import torch

    if torch.cuda.is_initialized():
        return sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count()))) / 2**20
    try:
        # Not `ru_maxrss` where it can be helped: on Linux a child process starts with its parent's.
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10
    except (OSError, StopIteration):
        # macOS counts bytes, others kilobytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak() -> None:
    """Begin to measure the peak of the accelerators anew; a process's own never falls."""
    import torch

    if torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)


def provenance(device: str, dtype: str) -> dict:
    """All that tells what ran where: git revision and whether the tree was dirty, lock, versions, hardware, dtype."""
    lock = ROOT / "requirements.lock"
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_revision": _git("rev-parse", "HEAD"),
        "git_dirty": None if changed is None else bool(changed),
        "lock_sha256": sha256(lock) if lock.is_file() else None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in PACKAGES},
        "hardware": hardware(device),
        "dtype": dtype,
    }
