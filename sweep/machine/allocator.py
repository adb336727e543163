"""The settings of torch's allocator on a GPU, unless the user has chosen some."""

import os

ALLOCATOR = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
"""Few gaps in a trial's share of the memory."""

ALLOCATOR_NAMES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""Where torch 2.13 reads the allocator's settings (c10/cuda/CUDAAllocatorConfig.h); the first that is set wins."""


def set_allocator() -> None:
    """Set the allocator of processes that this one starts. What the user has set stays."""
    if not any(name in os.environ for name in ALLOCATOR_NAMES):
        os.environ.update(ALLOCATOR)
