"""Builds the data and the base model of the preset `chat` once, and keeps them in a cache beside the demo's.

They have a folder and a key of their own: whoever edits a file here leaves the demo's folder as it is.
"""

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import active_children, get_context
from pathlib import Path

from basis.checksums import folder_flaw, seal_folder, set_aside
from basis.files import publish_folder
from sweep.demo.chat.messages import Message, messages_of
from sweep.demo.chat.sizes import ChatSizes
from sweep.demo.corpus import make_corpus
from sweep.machine.workshop import end_with_parent, workshop


@dataclass(frozen=True)
class ChatAssets:
    """The paths of the preset `chat`'s data and base model.

    Attributes:
        train_file: conversations for SFT, JSON lines with OpenAI's `messages`.
        test_file: conversations that are not in `train_file`, same field.
        prompts_file: the demo's evaluation questions, which no conversation contains, CSV with the column `prompt`.
        base_model: Hugging Face folder of a small Llama and its tokenizer, which has a ChatML template.
    """

    train_file: Path
    test_file: Path
    prompts_file: Path
    base_model: Path

    @classmethod
    def inside(cls, folder: Path) -> "ChatAssets":
        """The assets as they lie in `folder`."""
        return cls(
            train_file=folder / "train.jsonl",
            test_file=folder / "test.jsonl",
            prompts_file=folder / "prompts.csv",
            base_model=folder / "base_model",
        )


def chat_assets(cache_dir: Path, say: Callable[[str], None], sizes: ChatSizes | None = None) -> ChatAssets:
    """Find the preset `chat`'s data and base model in the cache, or build them there.

    A damaged folder is set aside and built again; see `sweep.demo.assets.demo_assets`.

    Args:
        cache_dir: where the assets are kept from one run to the next.
        say: prints short lines about the progress of a build.
        sizes: sizes other than the preset's own, for tests.

    Returns:
        The paths of the assets, all of which exist.
    """
    sizes = sizes or ChatSizes()
    folder = cache_dir / f"chat-{_content_key(sizes)}"
    if folder.exists() and (found := folder_flaw(folder)):
        say(f"{folder}: {found}{set_aside(folder)}; made again")
    if not folder.exists():
        with workshop(cache_dir) as place:
            unfinished = place / folder.name
            unfinished.mkdir()
            _build(unfinished, sizes, say)
            seal_folder(unfinished)
            publish_folder(unfinished, folder)
    return ChatAssets.inside(folder)


def _content_key(sizes: ChatSizes) -> str:
    """Hash all that decides the content: sizes, library versions, and the source code of this room and the demo's."""
    digest = hashlib.sha256(repr(sizes).encode())
    for library in ("torch", "transformers", "tokenizers"):
        digest.update(f"{library} {version(library)}".encode())
    room = Path(__file__).parent
    for source in (*sorted(room.parent.glob("*.py")), *sorted(room.glob("*.py"))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _build(folder: Path, sizes: ChatSizes, say: Callable[[str], None]) -> None:
    """Write the data, and pretrain the base model in a process with one thread."""
    # imported here, so that finding finished assets needs neither torch nor transformers
    from sweep.demo.chat.base_model import pretrain_chat_model
    from sweep.demo.tokenizer import train_tokenizer

    assets, demo = ChatAssets.inside(folder), sizes.demo
    corpus = make_corpus(demo.seed, demo.train, demo.test, demo.prompts)
    _write_conversations(assets.train_file, [messages_of(dialogue, dialogue.good) for dialogue in corpus.train])
    _write_conversations(assets.test_file, [messages_of(dialogue, dialogue.good) for dialogue in corpus.test])
    with assets.prompts_file.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["prompt"], *([prompt] for prompt in corpus.prompts)])
    tokenizer = train_tokenizer(corpus.train, demo.vocabulary)
    say("pretraining the chat model (less than a minute, only once)")
    others = set(active_children())
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        base = pool.submit(pretrain_chat_model, corpus.train, tokenizer, sizes.base, demo.seed, assets.base_model)
        try:
            base.result()
        except BaseException:  # the pool would wait for the model, as after Ctrl-C
            for worker in set(active_children()) - others:
                worker.terminate()
            raise


def _write_conversations(path: Path, conversations: Sequence[list[Message]]) -> None:
    """Write one conversation a line."""
    with path.open("w", encoding="utf-8") as file:
        for messages in conversations:
            file.write(json.dumps({"messages": messages}) + "\n")
