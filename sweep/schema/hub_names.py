"""Names on the Hugging Face hub as a spec writes them. Imports nothing heavy, so that a spec is read quickly.

gpt2-medium                       a model, tokenizer or reward model, as its branch `main` is now
gpt2-medium@6dcaa7a               at a branch, tag or commit
Anthropic/hh-rlhf:train           a split of a data set
Anthropic/hh-rlhf@v1.0:train      likewise at a revision
openai/gsm8k/main:train           a split of one configuration of a data set that has several
openai/gsm8k/main@v1.0:train      likewise at a revision
"""

import re
from typing import NamedTuple

_REVISION = r"@(?P<revision>\w[\w./+-]*)"
_COMMIT = re.compile("[0-9a-f]{40}")
_MODEL = re.compile(rf"(?P<name>[\w-][\w.-]*(/[\w.-]+)?)({_REVISION})?")
_DATASET = re.compile(rf"(?P<name>[\w-][\w.-]*/[\w.-]+)(/(?P<config>[\w.-]+))?({_REVISION})?(:(?P<split>.+))?")


class HubName(NamedTuple):
    """A repository on the hub, perhaps at a revision, perhaps one of its splits.

    Attributes:
        name: "owner/name"; of the oldest models the name alone.
        revision: a branch, tag or commit; None means the branch `main`.
        split: one split of a data set; None if none is named.
        config: one configuration of a data set; None if none is named.
    """

    name: str
    revision: str | None = None
    split: str | None = None
    config: str | None = None

    def at(self, revision: str) -> "HubName":
        """The same at another revision."""
        return self._replace(revision=revision)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        config = f"/{self.config}" if self.config else ""
        return f"{self.name}{config}{revision}{f':{self.split}' if self.split else ''}"

    @property
    def shown(self) -> str:
        """The name in messages, which have the first seven digits of a commit."""
        commit = _COMMIT.fullmatch(self.revision or "")
        return str(self.at(commit[0][:7]) if commit else self)


def shown_name(text: str) -> str:
    """A name of a spec as messages have it, see `HubName.shown`; a folder as it is."""
    on_hub = dataset_name(text) or model_name(text)
    return on_hub.shown if on_hub else text


def model_name(text: str) -> HubName | None:
    """The model, tokenizer or reward model that `text` names on the hub, or None if it can't be such a name."""
    match = _MODEL.fullmatch(text)
    return HubName(match["name"], match["revision"]) if match else None


def dataset_name(text: str) -> HubName | None:
    """The data set that `text` names on the hub, or None if it can't be such a name."""
    match = _DATASET.fullmatch(text)
    return HubName(match["name"], match["revision"], match["split"], match["config"]) if match else None
