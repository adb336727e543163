"""The four repositories of the published study by their real names and in their real layouts, with small content."""

import csv
import gzip
import io
import json

import pandas as pd
import torch
from safetensors.torch import save
from tokenizers import ByteLevelBPETokenizer
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, GPT2Config, GPT2Model

from basis.packages import ROOT
from tests.hub.server import Repository

GPT2_MEDIUM, REWARD = "gpt2-medium", "OpenAssistant/reward-model-deberta-v3-large-v2"
HH_RLHF, RM_STATIC = "Anthropic/hh-rlhf", "Dahoas/rm-static"
END = "<|endoftext|>"
PROMPTS = ROOT / "sweep" / "presets" / "prompts.csv"


def study_repositories(dialogues: list[str]) -> list[Repository]:
    """gpt2-medium, the reward model, HH-RLHF and rm-static, made of `dialogues`."""
    with PROMPTS.open(encoding="utf-8", newline="") as file:
        prompts = [row["prompt"] for row in csv.DictReader(file)]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([*dialogues, *prompts], vocab_size=3000, special_tokens=[END], show_progress=False)
    return [
        Repository(GPT2_MEDIUM, "model", gpt2_medium(bpe)),
        Repository(REWARD, "model", reward_model(bpe)),
        Repository(HH_RLHF, "dataset", hh_rlhf(dialogues)),
        Repository(RM_STATIC, "dataset", rm_static(dialogues[::10])),
    ]


def gpt2_medium(bpe: ByteLevelBPETokenizer) -> dict[str, bytes]:
    """As the real repository: names without `transformer.`, masks kept as buffers, a tokenizer config of one key."""
    torch.manual_seed(0)
    end = bpe.token_to_id(END)
    shape = {"n_positions": 1024, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config = GPT2Config(vocab_size=bpe.get_vocab_size(), **shape, bos_token_id=end, eos_token_id=end)
    weights = {name: tensor.contiguous() for name, tensor in GPT2Model(config).state_dict().items()}
    weights |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 1024, 1024).tril() for layer in range(config.n_layer)}
    safe = save(weights, metadata={"format": "pt"})
    return {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": b"---\nlanguage: en\nlicense: mit\n---\n\n# GPT-2 Medium\n",
        "config.json": _json({**config.to_diff_dict(), "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}),
        "generation_config.json": _json({"_from_model_config": True, "bos_token_id": end, "eos_token_id": end}),
        "model.safetensors": safe,
        "pytorch_model.bin": b"weights in another format, which nobody needs beside safetensors" * 2000,
        "flax_model.msgpack": b"weights of another framework" * 4000,
        "onnx/config.json": b"{}",
        "tokenizer.json": bpe.to_str().encode(),
        "tokenizer_config.json": _json({"model_max_length": 1024}),
        **_vocabulary(bpe),
    }


def reward_model(bpe: ByteLevelBPETokenizer) -> dict[str, bytes]:
    """As the real repository: weights as pytorch_model.bin alone."""
    torch.manual_seed(1)
    config = DebertaV2Config(
        vocab_size=bpe.get_vocab_size() + 1,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        pooler_hidden_size=32,
        pooler_dropout=0,
        pooler_hidden_act="gelu",
        num_labels=1,
        pad_token_id=bpe.token_to_id(END),
    )
    model = DebertaV2ForSequenceClassification(config)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    about = {**config.to_diff_dict(), "architectures": ["DebertaV2ForSequenceClassification"]}
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": END, "eos_token": END, "unk_token": END}
    return {
        "README.md": b"---\nlicense: mit\n---\n\n# Reward model\n",
        "config.json": _json({**about, "model_type": "deberta-v2"}),
        "pytorch_model.bin": buffer.getvalue(),
        "tokenizer.json": bpe.to_str().encode(),
        "tokenizer_config.json": _json({**tokenizer, "model_max_length": 512}),
        "special_tokens_map.json": _json({"pad_token": END, "eos_token": END, "unk_token": END}),
    }


def hh_rlhf(dialogues: list[str]) -> dict[str, bytes]:
    """As the real repository: gzipped lines in folders, and a file of another shape that belongs to no split."""

    def lines(texts: list[str]) -> bytes:
        records = [json.dumps({"chosen": text, "rejected": text[:-5]}) for text in texts]
        return gzip.compress(("\n".join(records) + "\n").encode(), mtime=0)

    helpful, harmless = dialogues[::2], dialogues[1::2]
    files = {"README.md": b"---\nlicense: mit\ntags:\n- human-feedback\n---\n\n# Dataset Card for HH-RLHF\n"}
    for folder, texts in (("helpful-base", helpful), ("harmless-base", harmless)):
        files[f"{folder}/train.jsonl.gz"] = lines(texts[20:])
        files[f"{folder}/test.jsonl.gz"] = lines(texts[:20])
    red_team = json.dumps([{"transcript": "\n\nHuman: ...", "rating": 0.0}]).encode()
    files["red-team-attempts/red_team_attempts.jsonl.gz"] = gzip.compress(red_team, mtime=0)
    return files


def rm_static(dialogues: list[str]) -> dict[str, bytes]:
    """As the real repository: parquet files, whose card describes the splits."""

    def table(texts: list[str]) -> bytes:
        parts = [text.rpartition("Assistant:") for text in texts]
        rows = [
            {"prompt": head + mark, "response": end, "chosen": end, "rejected": end[:-5]} for head, mark, end in parts
        ]
        return bytes(pd.DataFrame(rows).to_parquet())

    card = (
        "---\ndataset_info:\n  features:\n"
        + "".join(f"  - name: {name}\n    dtype: string\n" for name in ("prompt", "response", "chosen", "rejected"))
        + f"  splits:\n  - name: train\n    num_examples: {len(dialogues) - 2}\n  - name: test\n    num_examples: 2\n"
        "---\n# rm-static\n"
    )
    return {
        "README.md": card.encode(),
        "data/train-00000-of-00001-2a1df75c6bce91ab.parquet": table(dialogues[2:]),
        "data/test-00000-of-00001-8c7c51afc6d45980.parquet": table(dialogues[:2]),
    }


def _vocabulary(bpe: ByteLevelBPETokenizer) -> dict[str, bytes]:
    model = json.loads(bpe.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return {"vocab.json": _json(model["vocab"]), "merges.txt": ("#version: 0.2\n" + "\n".join(merges)).encode()}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()
