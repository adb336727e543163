"""The demo's general text: sentences of its grammar that no dialogue has, kept apart from the demo's own assets."""

import json
import re
from pathlib import Path

from sweep.demo.corpus import make_corpus
from sweep.demo.general.assets import PARAGRAPHS, general_text
from sweep.demo.general.text import make_paragraphs
from sweep.demo.sizes import DemoSizes


def test_no_dialogue_has_any_of_its_sentences_and_every_word_is_one_of_theirs() -> None:
    sizes = DemoSizes()
    corpus = make_corpus(sizes.seed, sizes.train, sizes.test, sizes.prompts)
    dialogues = "\n".join(text for side in (corpus.train, corpus.test) for d in side for text in (d.chosen, d.rejected))
    paragraphs = make_paragraphs(sizes.seed, PARAGRAPHS)
    sentences = {sentence for paragraph in paragraphs for sentence in re.split(r"(?<=\.) ", paragraph)}
    assert len(sentences) > 3 * PARAGRAPHS
    assert not any(sentence in dialogues for sentence in sentences)
    known = {word.lower() for word in re.findall(r"[\w'-]+", dialogues)}
    used = {word.lower() for paragraph in paragraphs for word in re.findall(r"[\w'-]+", paragraph)}
    assert used - known == {"and", "but", "while"} - known


def test_it_is_written_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    said: list[str] = []
    path = general_text(tmp_path, said.append)
    whole = path.read_text()
    assert [json.loads(line)["text"] for line in whole.splitlines()] == make_paragraphs(DemoSizes().seed, PARAGRAPHS)
    path.write_text(whole[:90])
    assert general_text(tmp_path, said.append) == path
    assert path.read_text() == whole
    assert [line.endswith("; made again") for line in said] == [True]
