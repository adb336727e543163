"""The columns of a trial's row about memory and size."""

import platform
from typing import Any

import torch

from basis.metrics import DEVICE, PEAK_SOURCE, PLACE
from model.ledger import MemoryParts
from model.peak_meter import PeakMeter
from model.sft import SFTRun
from model.tensor_bytes import gradient_bytes, optimizer_state_bytes, weight_bytes
from sweep.machine.hardware import cpu_name


def memory_metrics(run: SFTRun, meter: PeakMeter, predicted: MemoryParts | None) -> dict[str, Any]:
    """A row's columns about memory: the peak so far and its parts, the prediction, and the bytes by kind of tensor."""
    meter.read()
    measured = {
        DEVICE: device_name(run.device),
        PLACE: place(run.device),
        PEAK_SOURCE: meter.source,
        "peak_bytes": meter.peak_bytes,
        **part_columns("peak", meter.parts),
        "reserved_peak_bytes": meter.reserved_peak_bytes,
        "retained_delta_bytes": meter.retained_delta_bytes,
        "micro_batch": run.settings.micro_batch,
        "activation_checkpointing": int(run.settings.activation_checkpointing),
        "weight_bytes": weight_bytes(run.model),
        "gradient_bytes": gradient_bytes(run.model),
        "optimizer_state_bytes": optimizer_state_bytes(run.optimizers),
        "trainable_parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
        "total_parameters": sum(p.numel() for p in run.model.parameters()),
    }
    if predicted is not None:
        measured |= {"predicted_peak_bytes": predicted.total, **part_columns("predicted", predicted)}
    return {name: value for name, value in measured.items() if value is not None}


def part_columns(prefix: str, parts: MemoryParts | None) -> dict[str, int]:
    """The bytes of each part under its column; see `basis.metrics.MEMORY_PARTS`."""
    if parts is None:
        return {}
    return {
        f"{prefix}_weight_bytes": parts.weights,
        f"{prefix}_gradient_bytes": parts.gradients,
        f"{prefix}_optimizer_state_bytes": parts.optimizer_state,
        f"{prefix}_logits_bytes": parts.logits,
        f"{prefix}_activation_bytes": parts.activations,
    }


def device_name(device: torch.device) -> str:
    """What the report calls the device: the GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def gpu_name() -> str | None:
    """The name of the GPU that a trial of this process trains on; None without one."""
    return device_name(torch.device("cuda")) if torch.cuda.is_available() else None


def place(device: torch.device) -> str:
    """Where a trial computes: the machine's processors, or one GPU of it by what no other has."""
    if device.type != "cuda":
        return f"{platform.node()} cpu"
    return f"{platform.node()} {torch.cuda.get_device_properties(device).uuid}"
