"""The files of an experiment directory, which is the only interface between a sweep and its analysis:

EXPERIMENT_DIR/
  spec.yaml                the resolved spec: presets, variants and --set already applied
  sweep.json               versions, hardware, data statistics, start time (see sweep/provenance/sweep_record.py)
  experiment_state-*.json  Ray Tune's own list of trials
  ray.log                  what Ray itself printed, where it did
  events.jsonl             what has happened, a JSON object a line, written as it happens (see sweep/progress/)
  control/                 what somebody asks of the running sweep, one file each until it is answered
  control.jsonl            what was asked and what came of it, a JSON object a line (see sweep/steering/)
  base/responses.jsonl     the base model's response and score for each evaluation prompt; its size and SHA-256 are
                           in responses.seal.json; of several base models base/LABEL/responses.jsonl each
  TRIAL/                   one directory per trial, written by Ray and by the trial itself
    params.json            the trial's resolved TrialConfig
    result.json            one JSON row per report, keyed by the metric names below
    outcome.json           how the trial ended last, and why; none while it runs (see basis/outcome_file.py)
    error.txt              traceback of a failed trial, as Ray writes it
    worker.txt             the process that runs an unfinished trial, and its trace if it crashed
    checkpoint.pt          where an unfinished trial continues from
    suggested.json         what a search algorithm chose the trial's config by
    diverged.txt           why a trial whose loss was no finite number any more will not be tried again
    out_of_memory.json     the attempts that ran out of memory, a list of what `sweep.memory.attempts.Attempt` holds
    finished.json          every row of a finished trial, which --resume replays instead of training again, and the
                           SHA-256 of what the trial has kept (see sweep/storage/finished.py)
    trained.safetensors    what was trained: the adapters alone, or the full weights
    responses.jsonl        every prompt, response and score of the trial
    window_losses.json     the loss of each fixed window after the last step, in nats/token: {"test_loss": [...]}
                           and, where validation windows are evaluated, {"validation_loss": [...]}; of general text
                           {"general_loss": [...]}, and before the first step {"general_loss_base": [...]}
    record.json            what the trial was: config, code, versions, hardware, hashes
                               (see sweep/provenance/trial_record.py)
    events.out.tfevents.*  TensorBoard, where `track` has it
    *.damaged              what was found to be damaged, as it was found
  tracking/                what trackers have been sent, and what they keep (see sweep/tracking/)
  inputs/                  files that a sweep was submitted with, each in a folder named by its hash (sweep/submission/)
  judged/                  there for a moment alone: what another judge said, on its way into place
  report/                  written by analysis.report; screen.json: its first screen (see analysis/screen/kept.py)
"""

SPEC_FILE = "spec.yaml"
SWEEP_FILE = "sweep.json"
RAY_LOG_FILE = "ray.log"
EVENTS_FILE = "events.jsonl"
CONTROL_DIR = "control"
INPUTS_DIR = "inputs"
TRACKING_DIR = "tracking"
CONTROL_FILE = "control.jsonl"
BASE_DIR = "base"
CHECKPOINT_FILE = "checkpoint.pt"
FINISHED_FILE = "finished.json"
PARAMS_FILE = "params.json"
RESULT_FILE = "result.json"
SUGGESTED_FILE = "suggested.json"
DIVERGED_FILE = "diverged.txt"
OUT_OF_MEMORY_FILE = "out_of_memory.json"
OUTCOME_FILE = "outcome.json"
WORKER_FILE = "worker.txt"
TRAINED_FILE = "trained.safetensors"
RESPONSES_FILE = "responses.jsonl"
WINDOW_LOSSES_FILE = "window_losses.json"
RECORD_FILE = "record.json"
TENSORBOARD = "events.out.tfevents."
"""How the names of TensorBoard's files begin."""
REPORT_DIR = "report"
REPLACEMENT_DIR = "judged"
"""New versions of several files on their way into place; gone a moment later (see `sweep.storage.replacement`)."""


def base_responses_file(model: str | None) -> str:
    """The file of a base model's responses, by what trials say of it: its label, or None where there is but one."""
    return "/".join((BASE_DIR, *([] if model is None else [model]), RESPONSES_FILE))
