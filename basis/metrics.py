"""The metrics that a trial reports, each with its unit and direction, and the text columns beside them."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Row = dict[str, Any]
"""One report of a trial: metrics by name, and text columns beside them."""


class Metric(NamedTuple):
    """One number of a report: its column name, its unit as printed, which direction is better, and what it means."""

    name: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    meaning: str


_OF_JUDGING = (
    Metric("reward_mean", "", "higher", "mean reward of the trial's responses"),
    Metric("reward_base_mean", "", "neither", "mean reward of the base model's responses to the same prompts"),
    Metric("reward_margin_mean", "", "higher", "mean over prompts of reward minus the base model's reward"),
    Metric("wins", "prompts", "higher", "prompts whose response gets a higher reward than the base model's"),
    Metric("ties", "prompts", "neither", "prompts whose response gets the same reward as the base model's"),
    Metric("losses", "prompts", "lower", "prompts whose response gets a lower reward than the base model's"),
    Metric("unscored", "prompts", "lower", "prompts in none of these, since a reward was no finite number"),
    Metric("win_rate", "", "higher", "wins / (wins + ties + losses)"),
    Metric("response_tokens_mean", "tokens", "neither", "mean length of the trial's responses as they were judged"),
    Metric("reward_seconds", "s", "lower", "time spent on the trial's responses and their scores"),
)

METRICS: tuple[Metric, ...] = (
    Metric("step", "steps", "neither", "optimizer steps taken so far"),
    Metric("tokens_seen", "tokens", "neither", "train tokens seen so far, padding not counted"),
    Metric("scored_tokens_seen", "tokens", "neither", "train tokens so far whose prediction counted in the loss"),
    Metric("learning_rate", "", "neither", "learning rate of the last step"),
    Metric("train_loss", "nats/token", "lower", "mean train loss of the steps since the last report"),
    Metric("skipped_steps", "steps", "lower", "steps so far that changed nothing, since gradients overflowed fp16"),
    Metric("validation_loss", "nats/token", "lower", "mean loss over the fixed validation windows"),
    Metric("test_loss", "nats/token", "lower", "mean loss over the fixed test windows"),
    Metric("test_perplexity", "", "lower", "exp(test_loss)"),
    Metric("test_bits_per_byte", "bits/byte", "lower", "test loss by byte of text, which compares across tokenizers"),
    Metric("general_loss", "nats/token", "lower", "mean loss over general text, at the first and last step"),
    Metric("forgetting", "nats/token", "lower", "general_loss minus that of the base model, before the first step"),
    Metric("tokens_per_second", "tokens/s", "higher", "train tokens per second of training time since the last report"),
    Metric("step_seconds", "s", "lower", "mean duration of one optimizer step since the last report"),
    Metric("train_seconds", "s", "lower", "time spent in training steps so far, evaluation excluded"),
    Metric("evaluation_seconds", "s", "lower", "time spent on held-out windows so far"),
    Metric("clock_seconds", "s", "neither", "when the row was made, in seconds since 1970"),
    Metric("peak_bytes", "B", "lower", "peak memory: most bytes allocated on the device at once during training"),
    Metric("peak_weight_bytes", "B", "neither", "of peak memory: parameters and buffers"),
    Metric("peak_gradient_bytes", "B", "neither", "of peak memory: gradients of what trains"),
    Metric("peak_optimizer_state_bytes", "B", "neither", "of peak memory: the optimizer's state tensors"),
    Metric("peak_logits_bytes", "B", "neither", "of peak memory: logits of a chunk of positions"),
    Metric("peak_activation_bytes", "B", "neither", "of peak memory: all else, such as activations, temporaries"),
    Metric("predicted_peak_bytes", "B", "neither", "peak memory as predicted before the trial ran"),
    Metric("predicted_weight_bytes", "B", "neither", "of predicted peak memory: parameters and buffers"),
    Metric("predicted_gradient_bytes", "B", "neither", "of predicted peak memory: gradients of what trains"),
    Metric("predicted_optimizer_state_bytes", "B", "neither", "of predicted peak memory: the optimizer's state"),
    Metric("predicted_logits_bytes", "B", "neither", "of predicted peak memory: logits of a chunk of positions"),
    Metric("predicted_activation_bytes", "B", "neither", "of predicted peak memory: all else"),
    Metric("micro_batch", "windows", "neither", "windows of a forward pass, as memory permitted"),
    Metric(
        "activation_checkpointing", "", "neither", "1 with activation checkpointing, 0 without, as memory permitted"
    ),
    Metric("reserved_peak_bytes", "B", "lower", "most bytes the CUDA allocator held at once (CUDA only)"),
    Metric("retained_delta_bytes", "B", "neither", "bytes allocated after training minus before it"),
    Metric("weight_bytes", "B", "lower", "bytes of all parameters and buffers"),
    Metric("gradient_bytes", "B", "lower", "bytes of the gradients of what trains"),
    Metric("optimizer_state_bytes", "B", "lower", "bytes of the optimizer's state tensors"),
    Metric("trainable_parameters", "", "neither", "number of parameters that train"),
    Metric("total_parameters", "", "neither", "number of parameters of the model"),
    *_OF_JUDGING,
    Metric("judged_clock_seconds", "s", "neither", "when the trial was judged, in seconds since 1970"),
)
"""Every metric, in the order in which a report lists them."""

METRIC: dict[str, Metric] = {metric.name: metric for metric in METRICS}

Objective = Literal["test_loss", "train_loss", "reward_mean", "reward_margin_mean", "win_rate"]
"""The metrics that a search may choose by; each says itself which direction is better."""

GENERAL_LOSS_BASE = "general_loss_base"
"""Among the losses of windows: those of general text before the first step. A row has them as its `general_loss`."""

EXECUTION_METRICS = ("micro_batch", "activation_checkpointing")
"""How a trial's steps were carried out. The fields of its config of these names say what was asked for."""

FORMER_NAMES = {"windows_per_pass": "micro_batch", "blocks_recomputed": "activation_checkpointing"}
"""Names of today by those that rows and attempts had in directories made before."""

DEVICE = "device"
"""Text column: the device that the trial ran on."""

PLACE = "place"
"""Text column: the machine and what of it the trial computes on; trials in one place at one time disturb each other."""

PEAK_SOURCE = "peak_source"
"""Text column beside peak_bytes: GPU_PEAK or CPU_PEAK, since the two are not comparable."""
GPU_PEAK, CPU_PEAK = "cuda allocator", "cpu tensors"

REWARD_METRICS = tuple(metric.name for metric in _OF_JUDGING)
"""The metrics that come of judging."""

NOT_JUDGED = "not_judged"
"""Text column: why a trial that has trained to its end has no rewards, where judging failed."""

REMARKS = "remarks"
"""List column: what was out of the ordinary since the last row and no failure, for the live table to say."""

MEMORY_PARTS = {
    "weight": "weights",
    "gradient": "gradients",
    "optimizer_state": "optimizer state",
    "logits": "logits",
    "activation": "activations",
}
"""The parts of a peak, which add up to it: as in `peak_weight_bytes` and `predicted_weight_bytes`, and as a reader is
told them."""

LASTING_PARTS = ("weight", "gradient", "optimizer_state")
"""Parts that are allocated all through training, whose size a row tells in `weight_bytes` and so on."""


def with_present_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row, or an attempt, whose columns have the names of today; see `FORMER_NAMES`."""
    return {FORMER_NAMES.get(name, name): value for name, value in row.items()}
