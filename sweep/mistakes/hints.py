"""Words of PEFT, Hugging Face and others for keys and values, and the words of a spec for the same."""

import difflib
from collections.abc import Sequence

from basis.methods import REFUSED

_ALL_BUT_HEAD = "[attention_in, attention_out, mlp_in, mlp_out]"
_STEPS = "steps, such as steps: 1000; an epoch has the train tokens / (batch_size * block_size) of them"
_BATCH = "batch_size, the windows of one optimizer step, such as batch_size: 8"
_BLOCK = "block_size, the tokens of a window, such as block_size: 512"
_PRECISION = "precision: auto, fp32, tf32, bf16 or fp16"
_MODEL = "model.name, such as model: {name: gpt2}"
_TRAIN = "data.train, such as data: {train: dialogues.jsonl}"
_TEST = "data.test, such as data: {test: held_out.jsonl}"
_TEST_EVERY = "test_every, in steps, such as test_every: 100"

_KEYS: dict[str, str] = {
    **dict.fromkeys(("learning_rate", "learningrate", "max_lr", "peak_lr"), "lr, such as lr: 1e-4"),
    **dict.fromkeys(("lora_alpha",), "alpha, such as alpha: 32"),
    **dict.fromkeys(("r", "lora_r", "lora_rank", "lora_dim"), "rank, such as rank: 8"),
    **dict.fromkeys(
        ("target_modules", "lora_target_modules", "lora_targets"), f"targets, such as targets: {_ALL_BUT_HEAD}"
    ),
    "modules_to_save": "also_train, such as also_train: [embeddings]",
    "bias": "also_train, such as also_train: [biases]",
    "use_rslora": "scaling, such as scaling: alpha/sqrt(r)",
    "lora_dropout": "dropout, which is that of the model; adapters have none of their own",
    **dict.fromkeys(("loraplus_lr_ratio", "lr_ratio"), "b_lr_ratio, such as b_lr_ratio: 16"),
    **dict.fromkeys(("epochs", "num_train_epochs", "num_epochs", "n_epochs", "epoch"), _STEPS),
    **dict.fromkeys(("max_steps", "num_steps", "total_steps", "max_iters", "iterations"), "steps, such as steps: 1000"),
    **dict.fromkeys(("per_device_train_batch_size", "train_batch_size", "per_gpu_train_batch_size"), _BATCH),
    **dict.fromkeys(("per_device_eval_batch_size", "eval_batch_size"), "test_windows, the windows of one evaluation"),
    "gradient_accumulation_steps": "micro_batch, the most windows per pass; batch_size counts all windows of a step",
    **dict.fromkeys(
        ("max_seq_length", "max_seq_len", "max_length", "seq_len", "seq_length", "sequence_length"), _BLOCK
    ),
    **dict.fromkeys(("context_length", "model_max_length", "cutoff_len", "n_ctx"), _BLOCK),
    **dict.fromkeys(("warmup_ratio", "num_warmup_steps", "warmup"), "warmup_steps, such as warmup_steps: 100"),
    **dict.fromkeys(
        ("lr_scheduler_type", "lr_scheduler", "scheduler", "lr_schedule"), "schedule, such as schedule: cosine"
    ),
    **dict.fromkeys(("optim", "optimiser", "optimizer_type"), "optimizer, such as optimizer: adamw"),
    **dict.fromkeys(("bf16", "dtype", "torch_dtype", "mixed_precision"), _PRECISION),
    "fp16": "precision, such as precision: fp16; bf16 needs no scaling where the GPU has it",
    "tf32": "precision: tf32",
    **dict.fromkeys(("gradient_checkpointing", "use_gradient_checkpointing"), "activation_checkpointing: true"),
    "torch_compile": "compile: true",
    **dict.fromkeys(("adam_beta1", "adam_beta2", "beta1", "beta2", "adam_betas"), "betas, such as betas: [0.9, 0.95]"),
    **dict.fromkeys(
        ("max_grad_norm", "grad_clip", "gradient_clip_val", "grad_norm_clip"), "clip_norm, such as clip_norm: 1"
    ),
    **dict.fromkeys(("wd", "l2"), "weight_decay, such as weight_decay: 0.01"),
    **dict.fromkeys(("eval_steps", "eval_interval", "eval_every", "logging_steps", "test_steps"), _TEST_EVERY),
    **dict.fromkeys(("eval_strategy", "evaluation_strategy", "logging_strategy"), _TEST_EVERY),
    **dict.fromkeys(
        ("save_steps", "save_strategy", "checkpoint_every"), "checkpoint_seconds, such as checkpoint_seconds: 300"
    ),
    **dict.fromkeys(
        ("model_name_or_path", "pretrained_model_name_or_path", "model_name", "model_id", "base_model"), _MODEL
    ),
    **dict.fromkeys(("base_model_name_or_path", "model_path", "pretrained"), _MODEL),
    **dict.fromkeys(("tokenizer_name", "tokenizer_name_or_path", "tokenizer_path"), "model.tokenizer"),
    **dict.fromkeys(
        ("dataset_name", "dataset", "datasets", "train_file", "train_dataset", "train_data", "data_path"), _TRAIN
    ),
    **dict.fromkeys(("dataset_path", "training_data", "files", "path"), _TRAIN),
    **dict.fromkeys(("test_file", "eval_dataset", "eval_file", "test_dataset", "test_data"), _TEST),
    **dict.fromkeys(
        ("validation", "val", "validation_file", "eval"), "data.validation_fraction, the share of train held out"
    ),
    **dict.fromkeys(
        ("dataset_text_field", "text_column", "text_field", "column"), "data.field, such as data: {field: text}"
    ),
    **dict.fromkeys(
        ("test_size", "test_split", "val_set_size"), "data.test_fraction, such as data: {test_fraction: 0.05}"
    ),
    **dict.fromkeys(
        ("revision", "commit", "dataset_revision"), "@ behind a name on the hub, such as train: owner/name@main:train"
    ),
    **dict.fromkeys(("seed", "random_seed"), "seeds at the top, such as seeds: [3], or seeds: 3 for three of them"),
    "num_seeds": "seeds at the top, such as seeds: 3",
    **dict.fromkeys(("num_samples", "n_trials", "num_trials", "max_trials"), "trials, such as trials: 20"),
    **dict.fromkeys(("search_alg", "searcher", "algorithm"), "search, such as search: random"),
    **dict.fromkeys(
        ("param_space", "search_space", "grid", "parameters", "branches", "configs"), "space, a list of branches"
    ),
    **dict.fromkeys(("output_dir", "output"), "--output DIR on the command line"),
    "resume_from_checkpoint": "--resume DIR on the command line",
    **dict.fromkeys(("run_name", "experiment_name"), "name, such as name: ranks"),
    **dict.fromkeys(("reward_model", "judge", "reward_model_path"), "reward.model"),
    **dict.fromkeys(("max_new_tokens", "max_tokens"), "reward.new_tokens, such as reward: {new_tokens: 100}"),
    **dict.fromkeys(("num_gpus", "n_gpus", "gpus_per_trial"), "resources.gpu, such as resources: {gpu: auto}"),
    **dict.fromkeys(("num_cpus", "n_cpus", "cpus_per_trial"), "resources.cpu, such as resources: {cpu: 4}"),
    **dict.fromkeys(("max_memory", "gpu_memory"), "memory.budget, such as memory: {budget: 6GiB}"),
    **dict.fromkeys(("hidden_size", "d_model"), "n_embd"),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "num_layers", "layers"), "n_layer"),
    **dict.fromkeys(("num_attention_heads", "n_heads", "num_heads"), "n_head"),
    "max_position_embeddings": "n_positions",
}

_VALUES: dict[str, dict[str, str]] = {
    "targets": {
        "all": "all-linear",
        "lm_head": "head",
        "attention": "attention_in and attention_out",
        "mlp": "mlp_in and mlp_out",
    },
    "also_train": {
        **dict.fromkeys(("bias", "lora_only"), "biases"),
        **dict.fromkeys(("wte", "wpe", "embed_tokens"), "embeddings"),
        **dict.fromkeys(("ln", "norm", "norms"), "layernorms"),
        "lm_head": "head",
    },
    "precision": {
        **dict.fromkeys(("bfloat16", "mixed"), "bf16"),
        **dict.fromkeys(("float32", "fp", "full", "32"), "fp32"),
        **dict.fromkeys(("float16", "half", "16"), "fp16"),
        **dict.fromkeys(("tensorfloat32", "tensor-float-32"), "tf32"),
    },
    "scaling": {
        **dict.fromkeys(("rslora", "alpha/sqrt(rank)", "alpha/r**0.5"), "alpha/sqrt(r)"),
        "alpha/rank": "alpha/r",
    },
    "schedule": {"cosine_with_restarts": "cosine", "constant_with_warmup": "constant, with warmup_steps beside it"},
    "method": {
        **dict.fromkeys(("peft", "adapter"), "lora, dora or another method with adapters"),
        "rslora": "lora, with scaling: alpha/sqrt(r)",
        "lora+": "lora, with b_lr_ratio: 16",
        "bone": "miss",
        "sft": "full",
    },
    "init": {**dict.fromkeys(("scratch", "none"), "random")},
    "search": {**dict.fromkeys(("bayes", "bayesian", "tpe"), "optuna")},
    "metric": {**dict.fromkeys(("loss", "eval_loss", "val_loss"), "test_loss"), "reward": "reward_mean"},
}
"""By key, and by the word of others for a value: the word of a spec."""


def key_hint(word: str) -> str:
    """The key of a spec that stands for a word of others, with an example; "" for a word that is not known."""
    return _KEYS.get(word.lower().replace("-", "_"), "")


def value_hint(key: str, value: object, choices: Sequence[str]) -> str:
    """What to type instead of a value that a key does not take; "" where nobody can tell.

    Args:
        key: the last part of the dotted key.
        value: the value that was given.
        choices: the names that are accepted; none if any value may stand there.
    """
    if not isinstance(value, str):
        return ""
    if key == "method" and (reason := REFUSED.get(value.lower().replace("_", "-"))):
        return f"it is no method here: {reason}"
    known = _VALUES.get(key, {}).get(value.lower())
    if known:
        return f"here it is {known}"
    if value in choices:
        return f"write a list: [{value}]"
    near = difflib.get_close_matches(value.lower(), choices, 1)
    return f"did you mean {near[0]!r}?" if near else ""
