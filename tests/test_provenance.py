"""Facts about the machine that numbers rest on."""

import subprocess
import sys

from avss.runs.provenance import peak_memory_mb, provenance

CHILD = "from avss.runs.provenance import peak_memory_mb; print(peak_memory_mb())"


def test_peak_memory_is_the_process_own_and_not_its_parents():
    held = bytearray(900 * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    assert peak_memory_mb() > 900
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert float(child.stdout) < 800


def test_provenance_names_no_path_and_no_user():
    facts = provenance("cpu", "float32")
    assert {"git_revision", "git_dirty", "lock_sha256", "versions", "hardware", "dtype"} <= set(facts)
    assert "/" not in str(facts["hardware"]) + str(facts["system"])
