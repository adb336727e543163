"""The folders of the models that a spec names: the demo's, the user's own, or one commit of the hub's."""

from pathlib import Path

from sweep.demo.assets import DemoAssets
from sweep.hub.fetch import Say, Snapshot, fetch_model, fetch_tokenizer
from sweep.hub.pin import hub_model
from sweep.spec.model import ModelPart
from sweep.spec.places import DEMO


class ModelFolders:
    """Finds folders, and remembers which of them come from the hub.

    Attributes:
        snapshots: what was brought from the hub, by its folder.
    """

    def __init__(self, assets: DemoAssets | None, say: Say) -> None:
        """`assets` are the demo's, if the spec names any; `say` is told of downloads."""
        self.snapshots: dict[str, Snapshot] = {}
        self._assets = assets
        self._say = say

    def model(self, name: str, key: str, demo: Path | None) -> str:
        """The folder of a base model or reward model, with its weights.

        Args:
            name: as a validated spec has it.
            key: the place in the spec that an error names.
            demo: what the name "demo" stands for.

        Raises:
            UserError: it can't be had from the hub.
        """
        if name == DEMO:
            return str(demo)
        on_hub = hub_model(name)
        return self._remember(fetch_model(on_hub, key, self._say)) if on_hub else name

    def tokenizer(self, model: ModelPart) -> str:
        """The folder of the tokenizer of a spec's model.

        Raises:
            UserError: it can't be had from the hub.
        """
        name, key = model.tokenizer or model.name, "model.tokenizer" if model.tokenizer else "model.name"
        if name == DEMO:
            return str(self._assets.base_model if self._assets else None)
        on_hub = hub_model(name)
        return self._remember(fetch_tokenizer(on_hub, key)) if on_hub else name

    def _remember(self, snapshot: Snapshot) -> str:
        self.snapshots[str(snapshot.folder)] = snapshot
        return str(snapshot.folder)
