"""The names a sweep and its analysis share: metrics with unit and direction, and the files of an experiment directory.

This module imports nothing but `typing`, so that `analysis` can depend on it without pulling in torch, Ray or pydantic.

An experiment directory looks like this; it is the only interface between a sweep and its analysis:

    EXPERIMENT_DIR/
      spec.yaml                the resolved spec: presets, variants and --set already applied
      sweep.json               versions, hardware, data statistics, start time (see sweep/record.py)
      experiment_state-*.json  Ray Tune's own list of trials
      ray.log                  what Ray itself printed, where it did
      base/responses.jsonl     the base model's response and score for each evaluation prompt; its size and SHA-256 are
                               in responses.seal.json
      TRIAL/                   one directory per trial, written by Ray and by the trial itself
        params.json            the trial's resolved TrialConfig
        result.json            one JSON row per report, keyed by the metric names below
        error.txt              traceback of a failed trial
        worker.txt             the process that runs an unfinished trial, and its trace if it crashed
        checkpoint.pt          where an unfinished trial continues from
        suggested.json         what a search algorithm chose the trial's config by
        diverged.txt           why a trial whose loss was no finite number any more will not be tried again
        out_of_memory.json     the attempts that ran out of memory, a list of what `sweep.out_of_memory.Attempt` holds
        finished.json          every row of a finished trial, which --resume replays instead of training again, and the
                               SHA-256 of what the trial has kept (see sweep/finished.py)
        trained.safetensors    what was trained: the adapters alone, or the full weights
        responses.jsonl        every prompt, response and score of the trial
        window_losses.json     the loss of each fixed window after the last step, in nats/token: {"test_loss": [...]}
                               and, where validation windows are evaluated, {"validation_loss": [...]}
        record.json            what the trial was: config, code, versions, hardware, hashes (see sweep/trial_record.py)
        events.out.tfevents.*  TensorBoard
        *.damaged              what was found to be damaged, as it was found
      judged/                  there for a moment alone: what another judge said, on its way into place
      report/                  written by analysis.report
"""

from typing import Literal, NamedTuple

SPEC_FILE = "spec.yaml"
SWEEP_FILE = "sweep.json"
RAY_LOG_FILE = "ray.log"
BASE_RESPONSES_FILE = "base/responses.jsonl"
CHECKPOINT_FILE = "checkpoint.pt"
FINISHED_FILE = "finished.json"
PARAMS_FILE = "params.json"
RESULT_FILE = "result.json"
SUGGESTED_FILE = "suggested.json"
DIVERGED_FILE = "diverged.txt"
OUT_OF_MEMORY_FILE = "out_of_memory.json"
WORKER_FILE = "worker.txt"
TRAINED_FILE = "trained.safetensors"
RESPONSES_FILE = "responses.jsonl"
WINDOW_LOSSES_FILE = "window_losses.json"
RECORD_FILE = "record.json"
REPORT_DIR = "report"
REPLACEMENT_DIR = "judged"
"""New versions of several files, whole, on their way into place (see `sweep.replacement`); gone a moment later."""


class Metric(NamedTuple):
    """One number of a report: its column name, its unit as printed, which direction is better, and what it means."""

    name: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric("step", "steps", "neither", "optimizer steps taken so far"),
    Metric("tokens_seen", "tokens", "neither", "train tokens seen so far"),
    Metric("learning_rate", "", "neither", "learning rate of the last step"),
    Metric("train_loss", "nats/token", "lower", "mean train loss of the steps since the last report"),
    Metric("validation_loss", "nats/token", "lower", "mean loss over the fixed validation windows"),
    Metric("test_loss", "nats/token", "lower", "mean loss over the fixed test windows"),
    Metric("test_perplexity", "", "lower", "exp(test_loss)"),
    Metric("tokens_per_second", "tokens/s", "higher", "train tokens per second of training time since the last report"),
    Metric("step_seconds", "s", "lower", "mean duration of one optimizer step since the last report"),
    Metric("train_seconds", "s", "lower", "time spent in training steps so far, evaluation excluded"),
    Metric("evaluation_seconds", "s", "lower", "time spent on test windows so far"),
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
    Metric("windows_per_pass", "windows", "neither", "windows of a forward pass, as memory permitted"),
    Metric("blocks_recomputed", "", "neither", "1 with activation checkpointing, 0 without"),
    Metric("reserved_peak_bytes", "B", "lower", "most bytes the CUDA allocator held at once (CUDA only)"),
    Metric("retained_delta_bytes", "B", "neither", "bytes allocated after training minus before it"),
    Metric("weight_bytes", "B", "lower", "bytes of all parameters and buffers"),
    Metric("gradient_bytes", "B", "lower", "bytes of the gradients of what trains"),
    Metric("optimizer_state_bytes", "B", "lower", "bytes of the optimizer's state tensors"),
    Metric("trainable_parameters", "", "neither", "number of parameters that train"),
    Metric("total_parameters", "", "neither", "number of parameters of the model"),
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
    Metric("judged_clock_seconds", "s", "neither", "when the trial was judged, in seconds since 1970"),
)
METRIC: dict[str, Metric] = {metric.name: metric for metric in METRICS}

DEVICE = "device"
"""Text column: the device that the trial ran on."""

PLACE = "place"
"""Text column: the machine and what of it the trial computes on; trials in one place at one time disturb each other."""

PEAK_SOURCE = "peak_source"
"""Text column beside peak_bytes: "cuda allocator" or "cpu tensors", since the two are not comparable."""

REWARD_METRICS = (
    "reward_mean",
    "reward_base_mean",
    "reward_margin_mean",
    "wins",
    "ties",
    "losses",
    "unscored",
    "win_rate",
    "response_tokens_mean",
    "reward_seconds",
)
"""The metrics that come of judging."""

NOT_JUDGED = "not_judged"
"""Text column: why a trial that has trained to its end has no rewards, where judging failed."""

REMARKS = "remarks"
"""List column: what was out of the ordinary since the last row and no failure, for the live table to say."""

MEMORY_PARTS = ("weight", "gradient", "optimizer_state", "logits", "activation")
"""The parts of a peak, as in `peak_weight_bytes` and `predicted_weight_bytes`; they add up to it."""

OUT_OF_MEMORY = "OutOfMemoryError"
"""Name of the exception that a trial ends with when it has run out of memory for good."""


def arm_label(config: dict[str, object]) -> str:
    """Short name of an arm for tables and figures, such as "full adamw" or "lora r10 adamw".

    `config` is a TrialConfig as a mapping. Fields beyond method, rank and optimizer are not named here;
    whoever shows several arms with the same label appends the fields in which they differ.
    """
    method = f"lora r{config['rank']}" if config["method"] == "lora" else str(config["method"])
    return f"{method} {config['optimizer']}"
