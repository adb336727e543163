"""Writes the demo's general text once, and keeps it in a cache beside the demo's data and models.

It has a folder and a key of its own: whoever edits a file here leaves the demo's folder as it is.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from basis.checksums import folder_flaw, seal_folder, set_aside
from basis.files import publish_folder
from sweep.demo.general.text import make_paragraphs
from sweep.demo.sizes import DemoSizes
from sweep.machine.workshop import workshop

PARAGRAPHS = 300
"""Some 20,000 tokens: more windows than the demo's trials are tested on."""


def general_text(cache_dir: Path, say: Callable[[str], None]) -> Path:
    """The file of the demo's general text, JSON lines with the field `text`; written where it is not there whole.

    Args:
        cache_dir: where the demo's data and models are kept.
        say: told of damage.
    """
    seed = DemoSizes().seed
    folder = cache_dir / f"general-{_content_key(seed)}"
    if folder.exists() and (found := folder_flaw(folder)):
        say(f"{folder}: {found}{set_aside(folder)}; made again")
    if not folder.exists():
        with workshop(cache_dir) as place:
            unfinished = place / folder.name
            unfinished.mkdir()
            _write_paragraphs(unfinished / "general.jsonl", seed)
            seal_folder(unfinished)
            publish_folder(unfinished, folder)
    return folder / "general.jsonl"


def _content_key(seed: int) -> str:
    """Hash all that decides the content: the seed, the source code of this room, and that of the demo's grammar."""
    digest = hashlib.sha256(f"{seed} {PARAGRAPHS}".encode())
    room = Path(__file__).parent
    for source in (*sorted(room.glob("*.py")), room.parent / "corpus.py", room.parent / "skills.py"):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _write_paragraphs(path: Path, seed: int) -> None:
    """Write one paragraph a line."""
    with path.open("w", encoding="utf-8") as file:
        for paragraph in make_paragraphs(seed, PARAGRAPHS):
            file.write(json.dumps({"text": paragraph}) + "\n")
