"""Buffers, chunks, and what becomes of freed memory."""

import platform
import subprocess
import sys
import threading

import numpy as np
import pytest

from branchynet.machine import memory


def test_chunks_fit_the_share_of_the_cache():
    assert memory.chunks(0, 5, memory.CHUNK_BYTES // 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert memory.chunks(3, 5, 10 * memory.CHUNK_BYTES) == [slice(3, 4), slice(4, 5)]


def test_chunks_keep_a_product_small_unless_that_means_few_samples():
    assert memory.chunks(0, 12, 1, memory.SMALL_PRODUCT // 5) == [slice(0, 5), slice(5, 10), slice(10, 12)]
    assert memory.chunks(0, 12, 1, memory.SMALL_PRODUCT // 3) == [slice(0, 12)]


def test_scratch_memory_is_used_again_and_is_each_threads_own():
    first = memory.scratch("test", (4, 5), np.float32)
    second = memory.scratch("test", (2, 3), np.float32)
    assert first.shape == (4, 5) and second.dtype == np.float32
    assert np.shares_memory(first, second)
    others = []
    worker = threading.Thread(target=lambda: others.append(memory.scratch("test", (4, 5), np.float32)))
    worker.start()
    worker.join()
    assert not np.shares_memory(first, others[0])


COUNT_PAGE_FAULTS = """
import resource, sys
import numpy as np
from branchynet.machine.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):  # the last time counts
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16 << 20)  # 128 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_stays_with_the_process():
    def count_page_faults(what):
        command = [sys.executable, "-c", COUNT_PAGE_FAULTS, what]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert count_page_faults("keep") < 10 < count_page_faults("do not")
