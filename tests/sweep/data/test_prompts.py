"""What is asked comes from the file, column and turn that the spec names, in the template that the model was made
for."""

import gzip
import json
from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.data.examples import Example
from sweep.data.prompts import Question, first_turns, read_questions
from sweep.data.rendered_prompts import render
from sweep.data.template import choose_template
from sweep.data.tokenizer import load_tokenizer
from tests.conftest import Parts

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_prompts_and_right_answers_are_columns_of_csv_and_json_lines(tmp_path: Path) -> None:
    expected = [Question("2 + 2?", reference="4"), Question("What, then?", reference="#### 5")]
    rows = [{"question": q.text, "answer": q.reference, "id": i} for i, q in enumerate(expected)]
    lines = "\ufeff" + "\r\n".join(map(json.dumps, rows))
    (tmp_path / "p.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "p.csv").write_text('id,prompt,answer\n0,2 + 2?,4\n1,"What, then?",#### 5\n2,,none\n', encoding="utf-8")
    (tmp_path / "p.tsv").write_text("question\tanswer\n2 + 2?\t4\nWhat, then?\t#### 5\n", encoding="utf-8")
    (tmp_path / "p.json").write_text(json.dumps(rows), encoding="utf-8")
    for name in ("prompts", "p.txt"):  # no name of a table is CSV, packed or not
        (tmp_path / name).write_bytes((tmp_path / "p.csv").read_bytes())
    (tmp_path / "packed.csv").write_bytes(gzip.compress((tmp_path / "p.csv").read_bytes()))
    for name in ("p.jsonl", "p.jsonl.gz", "p.csv", "p.tsv", "p.json", "prompts", "p.txt", "packed.csv"):
        assert read_questions(tmp_path / name, reference="answer") == expected
    assert read_questions(tmp_path / "p.jsonl", 1) == [Question("2 + 2?")]
    (tmp_path / "numbers.jsonl").write_text('{"prompt": "2 + 2?", "sum": 4}\n', encoding="utf-8")
    assert read_questions(tmp_path / "numbers.jsonl", reference="sum") == [Question("2 + 2?", reference="4")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", "prompt,sum\na,1\n", "p.csv: no column 'answer'; its columns are prompt, sum"),
        ("p.csv", "prompt,answer\na,1\nb,\n", "p.csv, line 3: the prompt has no right answer in the column 'answer'"),
        ("p.csv", "prompt,prompt,answer\na,b,1\n", "p.csv: the column 'prompt' is there twice"),
        ("p.csv", "prompt,answer\na\n", "p.csv, line 2: has 1 values, but the first line names 2 columns"),
        ("p.jsonl", '{"prompt": "a"}\n', r"p.jsonl: no column 'answer'; its columns are prompt \(line 1\)"),
        ("p.jsonl", '{"prompt": "a", "answer": null}\n', "p.jsonl, line 1: the prompt has no right answer"),
        ("p.jsonl", '{"prompt": ["a"], "answer": "b"}\n', r"line 1: the column 'prompt' is \['a'\]; accepted: text"),
        ("p.jsonl", '{"text": "a", "answer": "b"}\n', "no column 'prompt'; its columns are text, answer"),
        ("p.jsonl", '{"prompt"\n', "line 1: not JSON"),
        ("p.jsonl", "[1]\n", "line 1: no record"),
        ("p.jsonl", '{"prompt": "\\ud800", "answer": "b"}\n', "'prompt' has half a surrogate pair"),
        ("p.jsonl.gz", "\x1f\x8b broken", "can't be read"),
    ],
)
def test_a_mistake_in_a_file_of_prompts_names_its_line(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=said):
        read_questions(tmp_path / name, reference="answer")


def test_the_first_turns_of_the_test_set_are_asked_once_each_and_held_to_their_answers() -> None:
    def turns(*said: str, system: str = "") -> Example:
        opening = ({"role": "system", "content": system},) if system else ()
        messages = [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(said)]
        return Example("conversations", messages=(*opening, *messages))

    examples = [turns("a", "1", "b", "2"), turns("a", "3"), turns("a", "4", system="Be kind."), turns("c")]
    assert first_turns(examples, answered=True) == [Question("a", "", "1"), Question("a", "Be kind.", "4")]
    assert first_turns(examples, 3) == [Question("a"), Question("a", "Be kind."), Question("c")]
    with pytest.raises(
        UserError, match="no example of the test set opens with a user's turn, answered by an assistant"
    ):
        first_turns([turns("c")], answered=True)
    with pytest.raises(UserError, match="'test' takes conversations or pairs, and the test set holds texts"):
        first_turns([Example("text", "Human: a")])


def test_a_prompt_is_rendered_as_the_model_was_made_to_be_asked(parts: Parts) -> None:
    tokenizer = load_tokenizer(parts.model)
    [plain] = render([Question("Why?", reference="b")], choose_template(tokenizer, None), "Q: {prompt}\nA:")
    assert plain == ("Why?", "Q: Why?\nA:", "b", "")
    tokenizer.chat_template = CHATML
    [chat] = render([Question("Why?", "Be kind.")], choose_template(tokenizer, None), None)
    assert chat.text == "Why?"
    assert chat.rendered == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )
    with pytest.raises(UserError, match=r"reward\.template: has no place for the system turn of prompt 1"):
        render([Question("Why?", "Be kind.")], choose_template(tokenizer, None), "{prompt}")
    tokenizer.chat_template = "{{ raise_exception('no such role') }}"
    with pytest.raises(UserError, match="prompt 1: the tokenizer's chat template fails on it: no such role"):
        render([Question("Why?")], choose_template(tokenizer, None), None)
    tokenizer.chat_template = "{{ messages[5].content }}"
    with pytest.raises(UserError, match=r"prompt 1: the tokenizer's chat template (fails on|leaves out)"):
        render([Question("Why?")], choose_template(tokenizer, None), None)
