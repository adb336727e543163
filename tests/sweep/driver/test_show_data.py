"""--show-data: what the model sees of an example, and what counts of it."""

import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer

from sweep.run import main
from tests.conftest import Parts

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_examples_are_printed_as_the_model_sees_them_with_what_counts_marked(
    parts: Parts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(parts.model)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    talk = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Be\x1b[2Jcause."}]
    data = tmp_path / "talks.jsonl"
    data.write_text(
        "".join(json.dumps({"messages": [{**talk[0], "content": f"{n}?"}, talk[1]]}) + "\n" for n in range(30))
    )
    spec = {
        "model": {"name": str(parts.model), "tokenizer": str(tmp_path / "tokenizer")},
        "data": {"train": str(data)},
        "trial": {"steps": 1, "batch_size": 1, "block_size": 64, "test_every": 1, "test_windows": 1},
        "space": [{"method": "full", "optimizer": "sgd", "lr": 1e-3}],
        "reward": {"model": None},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(spec))
    assert main([str(tmp_path / "mine.yaml"), "--show-data", "2"]) == 0
    said = capsys.readouterr().out
    assert "example 2, loss_on auto:" in said
    assert "example 3" not in said
    assert "<|im_start|>assistant\n[[Be␛[2Jcause.<|im_end|>]]" in said.replace("\x1b[0m", "")
    assert "\x1b[2J" not in said
