"""What a spec names, resolved to where it lies. Behind this, nobody asks whether a name is 'demo' or 'study'."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.data.dialogues import DataSources
from sweep.demo.assets import DemoAssets, demo_assets
from sweep.demo.chat.assets import ChatAssets, chat_assets
from sweep.demo.general.assets import general_text
from sweep.hub.fetch import Say, Snapshot, fetch_model, fetch_tokenizer
from sweep.hub.pin import hub_model
from sweep.preparation.first_look import needs_chat, needs_demo, needs_general_text
from sweep.schema.data import DataPart
from sweep.schema.hub_names import shown_name
from sweep.schema.model import ModelPart
from sweep.schema.places import DEMO, DEMO_CHAT, MADE_HERE, PRESETS, STUDY, TEST
from sweep.schema.reward import RewardPart
from sweep.schema.sweep_spec import SweepSpec

STUDY_PROMPTS = PRESETS / "prompts.csv"

Places = dict[str, str]
"""Paths by the names that stand for them."""


@dataclass(frozen=True)
class ModelSource:
    """Where a model or a tokenizer is taken from.

    Attributes:
        name: what the spec calls it, for messages.
        key: the key of the spec that names it, for messages.
        place: the path of a folder, or a name on the hub with its commit.
    """

    name: str
    key: str
    place: str

    def fetch(self, say: Say) -> Path | Snapshot:
        """The folder of a model with its weights, or the snapshot of the hub that it lies in.

        Raises:
            UserError: it can't be had from the hub.
        """
        on_hub = hub_model(self.place)
        return fetch_model(on_hub, self.key, say) if on_hub else Path(self.place)

    def fetch_tokenizer(self) -> Path | Snapshot:
        """The folder of a tokenizer, or the snapshot of the hub that it lies in.

        Raises:
            UserError: it can't be had from the hub.
        """
        on_hub = hub_model(self.place)
        return fetch_tokenizer(on_hub, self.key) if on_hub else Path(self.place)


@dataclass(frozen=True)
class BaseSources:
    """What a base model is made from.

    Attributes:
        model: how it is made.
        base_model: where its weights are taken from, unless they are random.
        tokenizer: where its tokenizer is taken from.
    """

    model: ModelPart
    base_model: ModelSource
    tokenizer: ModelSource


@dataclass(frozen=True)
class SweepSources:
    """What a sweep is made from.

    Attributes:
        bases: the base models, by what trials say of theirs, see `SweepSpec.models`.
        reward: how responses are made and judged.
        judge: where the reward model is taken from; None: none judges.
        prompts_file: the file of evaluation prompts; None: the test set's own first turns.
        data: the sources of the SFT set.
    """

    bases: Mapping[str | None, BaseSources]
    reward: RewardPart
    judge: ModelSource | None
    prompts_file: Path | None
    data: DataSources


def resolve_sources(spec: SweepSpec, cache_dir: Path, say: Say) -> SweepSources:
    """Where all lies that a spec names. The demo's data and models are made if the spec needs them.

    Args:
        spec: with the commits of what it names on the hub, see `sweep.hub.pin`.
        cache_dir: where the demo's data and models are kept.
        say: told of what is made.

    Raises:
        UserError: the demo's reward model is not good enough.
    """
    made: dict[str, DemoAssets | ChatAssets] = {}
    reward_models: Places = {}
    demo_cache = cache_dir / "demo"
    if needs_demo(spec):
        demo = made[DEMO] = demo_assets(demo_cache, say)
        reward_models = dict.fromkeys(MADE_HERE, str(demo.reward_model))
    if needs_chat(spec):
        made[DEMO_CHAT] = chat_assets(demo_cache, say)
    general = dict.fromkeys(MADE_HERE, str(general_text(demo_cache, say))) if needs_general_text(spec) else {}
    base_models = {name: str(assets.base_model) for name, assets in made.items()}
    prompts = {name: str(assets.prompts_file) for name, assets in made.items()}
    return SweepSources(
        bases={label: _base(part, base_models) for label, part in spec.models.items()},
        reward=spec.reward,
        judge=_model(spec.reward.model, "reward.model", reward_models) if spec.reward.model else None,
        prompts_file=_prompts_file(spec.reward.prompts, prompts),
        data=_data(spec.data, made, general, validates=spec.chooses_on_validation),
    )


def _prompts_file(name: str, made: Places) -> Path | None:
    if name == TEST:
        return None
    return STUDY_PROMPTS if name == STUDY else Path(_resolved(name, made))


def _model(name: str, key: str, made: Places) -> ModelSource:
    return ModelSource(shown_name(name), key, _resolved(name, made))


def _base(model: ModelPart, made: Places) -> BaseSources:
    base_model = _model(model.name, "model.name", made)
    tokenizer = _model(model.tokenizer, "model.tokenizer", made) if model.tokenizer else base_model
    return BaseSources(model, base_model, tokenizer)


def _data(data: DataPart, made: Mapping[str, DemoAssets | ChatAssets], general: Places, validates: bool) -> DataSources:
    train = {name: str(assets.train_file) for name, assets in made.items()}
    test = {name: str(assets.test_file) for name, assets in made.items()}
    return DataSources(
        train=tuple(_resolved(source, train) for source in data.train),
        test=tuple(_resolved(source, test) for source in data.test),
        exclude=data.exclude,
        general=tuple(_resolved(source, general) for source in data.general),
        field=data.field,
        columns=tuple(sorted(data.columns.items())),
        skip_broken=data.skip_broken,
        test_fraction=data.test_fraction,
        validation_fraction=data.validation_fraction if validates else None,
        template=data.template,
    )


def _resolved(name: str, made: Places) -> str:
    """The name, or the path that it stands for."""
    return made.get(name, name)
