"""The packing benchmark: what its stubs ask of a declared GPU."""

from pathlib import Path

from benchmarks.packing import QUICK, _orders


def test_the_study_s_arms_share_the_declared_gpu_by_memory_and_have_one_each_beside_that(tmp_path: Path) -> None:
    packed, whole = _orders(tmp_path, QUICK)
    assert (packed.resources.gpu, whole.resources.gpu) == ("share", 1)
    assert packed.cpus == len(packed.stubs) * float(packed.resources.cpu)
    assert min(stub.seconds for stub in packed.stubs) == QUICK.seconds
