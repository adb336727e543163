"""What a spec names, resolved to where it lies. Behind this, nobody asks whether a name is 'demo' or 'study'."""

from dataclasses import dataclass
from pathlib import Path

from sweep.data.dialogues import DataSources
from sweep.demo.assets import demo_assets
from sweep.hub.fetch import Say, Snapshot, fetch_model, fetch_tokenizer
from sweep.hub.pin import hub_model
from sweep.preparation.first_look import needs_demo
from sweep.schema.data import DataPart
from sweep.schema.hub_names import shown_name
from sweep.schema.model import ModelPart
from sweep.schema.places import DEMO, PRESETS, STUDY
from sweep.schema.reward import RewardPart
from sweep.schema.sweep_spec import SweepSpec

STUDY_PROMPTS = PRESETS / "prompts.csv"


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
class SweepSources:
    """What a sweep is made from.

    Attributes:
        model: how the base model is made.
        base_model: where its weights are taken from, unless they are random.
        tokenizer: where its tokenizer is taken from.
        reward: how responses are made and judged.
        judge: where the reward model is taken from; None: nothing is judged.
        prompts_file: the CSV file of evaluation prompts.
        data: the sources of the SFT set.
    """

    model: ModelPart
    base_model: ModelSource
    tokenizer: ModelSource
    reward: RewardPart
    judge: ModelSource | None
    prompts_file: Path
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
    base_model = reward_model = prompts = train = test = DEMO
    if needs_demo(spec):
        assets = demo_assets(cache_dir / "demo", say)
        base_model, reward_model = str(assets.base_model), str(assets.reward_model)
        prompts, train, test = str(assets.prompts_file), str(assets.train_file), str(assets.test_file)
    return SweepSources(
        model=spec.model,
        base_model=_model(spec.model.name, "model.name", base_model),
        tokenizer=_tokenizer(spec.model, base_model),
        reward=spec.reward,
        judge=_model(spec.reward.model, "reward.model", reward_model) if spec.reward.model else None,
        prompts_file=STUDY_PROMPTS if spec.reward.prompts == STUDY else Path(_resolved(spec.reward.prompts, prompts)),
        data=_data(spec.data, train, test, validates=spec.chooses_on_validation),
    )


def _model(name: str, key: str, demo: str) -> ModelSource:
    return ModelSource(shown_name(name), key, _resolved(name, demo))


def _tokenizer(model: ModelPart, demo: str) -> ModelSource:
    if model.tokenizer:
        return _model(model.tokenizer, "model.tokenizer", demo)
    return _model(model.name, "model.name", demo)


def _data(data: DataPart, train: str, test: str, validates: bool) -> DataSources:
    return DataSources(
        train=tuple(_resolved(source, train) for source in data.train),
        test=tuple(_resolved(source, test) for source in data.test),
        exclude=data.exclude,
        field=data.field,
        test_fraction=data.test_fraction,
        validation_fraction=data.validation_fraction if validates else None,
        template=data.template,
    )


def _resolved(name: str, demo: str) -> str:
    """The name, or what 'demo' stands for."""
    return demo if name == DEMO else name
