"""Builds the data and models of the preset `demo` once, and keeps them in a cache.

They are files of the same kinds as the study's (JSON lines, CSV, Hugging Face folders), so that the same code loads
them. The folder's name is a hash that includes the source of this room: whoever edits a file here has the demo built
anew.
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
from basis.errors import UserError
from basis.files import publish_folder
from sweep.demo.corpus import Corpus, Dialogue, make_corpus
from sweep.demo.sizes import DemoSizes
from sweep.machine.workshop import end_with_parent, workshop


@dataclass(frozen=True)
class DemoAssets:
    """The paths of the demo's data and models.

    Attributes:
        train_file: dialogues for SFT, JSON lines with the fields `chosen` and `rejected`.
        test_file: dialogues whose prompts are not in `train_file`, same fields.
        prompts_file: evaluation questions that no dialogue contains, CSV with the column `prompt`.
        base_model: Hugging Face folder of a small GPT-2 and its tokenizer.
        reward_model: Hugging Face folder of a small DeBERTa-v2 that scores `tokenizer(prompt, response)`.
        reward_accuracy_file: JSON with the share of pairs on the questions of `prompts_file`, which no model was
            trained on, that the reward model ranks correctly.
    """

    train_file: Path
    test_file: Path
    prompts_file: Path
    base_model: Path
    reward_model: Path
    reward_accuracy_file: Path

    @classmethod
    def inside(cls, folder: Path) -> "DemoAssets":
        """The assets as they lie in `folder`."""
        return cls(
            train_file=folder / "train.jsonl",
            test_file=folder / "test.jsonl",
            prompts_file=folder / "prompts.csv",
            base_model=folder / "base_model",
            reward_model=folder / "reward_model",
            reward_accuracy_file=folder / "reward_accuracy.json",
        )


def demo_assets(cache_dir: Path, say: Callable[[str], None], sizes: DemoSizes | None = None) -> DemoAssets:
    """Find the demo's data and models in the cache, or build them there.

    A damaged folder is set aside and built again. A folder gets its final name only when it is complete, so that an
    interrupted build is never taken for a finished one. Of two builds at the same time either may win.

    Args:
        cache_dir: where the assets are kept from one run to the next.
        say: prints short lines about the progress of a build.
        sizes: sizes other than the demo's own, for tests.

    Returns:
        The paths of the assets, all of which exist.

    Raises:
        UserError: the new reward model ranks too few of the held-out pairs correctly.
    """
    sizes = sizes or DemoSizes()
    folder = cache_dir / f"demo-{_content_key(sizes)}"
    if folder.exists() and (found := folder_flaw(folder)):
        say(f"{folder}: {found}{set_aside(folder)}; made again")
    if not folder.exists():
        with workshop(cache_dir) as place:
            unfinished = place / folder.name
            unfinished.mkdir()
            _build(unfinished, sizes, say)
            seal_folder(unfinished)
            publish_folder(unfinished, folder)
    return DemoAssets.inside(folder)


def _content_key(sizes: DemoSizes) -> str:
    """Hash all that decides the content: sizes, library versions, and the source code of this room."""
    digest = hashlib.sha256(repr(sizes).encode())
    for library in ("torch", "transformers", "tokenizers"):
        digest.update(f"{library} {version(library)}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _build(folder: Path, sizes: DemoSizes, say: Callable[[str], None]) -> None:
    """Write the data, and train both models at once, each in a process with one thread."""
    # imported here, so that finding finished assets needs neither torch nor transformers
    from sweep.demo.base_model import pretrain_base_model
    from sweep.demo.reward_model import train_reward_model
    from sweep.demo.tokenizer import train_tokenizer

    assets = DemoAssets.inside(folder)
    say("writing the demo's dialogues")
    corpus = make_corpus(sizes.seed, sizes.train, sizes.test, sizes.prompts)
    _write_corpus(corpus, assets)
    tokenizer = train_tokenizer(corpus.train, sizes.vocabulary)
    context, others = get_context("spawn"), set(active_children())
    with ProcessPoolExecutor(max_workers=2, mp_context=context, initializer=end_with_parent) as pool:
        say("pretraining the demo's base model and training its reward model (less than a minute, only once)")
        base = pool.submit(pretrain_base_model, corpus.train, tokenizer, sizes.base, sizes.seed, assets.base_model)
        reward_data = corpus.train, corpus.test, corpus.unseen, tokenizer
        reward = pool.submit(train_reward_model, *reward_data, sizes.reward, sizes.seed, assets.reward_model)
        try:
            base.result()
            say("the demo's base model is ready")
            accuracy = reward.result()
        except BaseException:  # the pool would wait for the other model, as after Ctrl-C for both
            for worker in set(active_children()) - others:
                worker.terminate()
            raise
    say(f"the demo's reward model ranks {accuracy:.1%} of held-out pairs correctly")
    if accuracy < sizes.reward.required:
        raise UserError(
            f"the demo's reward model ranks only {accuracy:.1%} of held-out pairs correctly, "
            f"but {sizes.reward.required:.0%} are needed for win rates that mean something"
        )
    assets.reward_accuracy_file.write_text(json.dumps({"accuracy": accuracy, "pairs": len(corpus.unseen)}) + "\n")


def _write_corpus(corpus: Corpus, assets: DemoAssets) -> None:
    """Write dialogues as JSON lines and evaluation questions as CSV."""
    _write_dialogues(assets.train_file, corpus.train)
    _write_dialogues(assets.test_file, corpus.test)
    with assets.prompts_file.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["prompt"], *([prompt] for prompt in corpus.prompts)])


def _write_dialogues(path: Path, dialogues: Sequence[Dialogue]) -> None:
    """Write one dialogue a line, with HH-RLHF's two fields."""
    with path.open("w", encoding="utf-8") as file:
        for dialogue in dialogues:
            file.write(json.dumps({"chosen": dialogue.chosen, "rejected": dialogue.rejected}) + "\n")
