"""TensorBoard's event files, one in each trial's directory, with what its HParams page needs."""

from collections.abc import Sequence
from uuid import uuid4

from tensorboardX import SummaryWriter
from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.summary import hparams

from basis.outcomes import Outcome
from sweep.tracking.sent import SentTrial
from sweep.tracking.tracker import Place, RunToOpen
from sweep.tracking.trials import Ended, Numbers, TrackedRow

PLUGIN, END_TAG = "hparams", "_hparams_/session_end_info"


class TensorBoardFiles:
    """A run is a trial's directory: `tensorboard --logdir DIR` shows all of them."""

    def __init__(self, place: Place) -> None:
        """Nothing is written yet."""
        self._folder = place.experiment_dir
        self._writers: dict[str, SummaryWriter] = {}

    def open(self, run: RunToOpen, sent: SentTrial | None) -> SentTrial:
        """See `Tracker`. A trial that goes on gets a further file, which TensorBoard reads after the first."""
        writer = SummaryWriter(str(self._folder / run.name), filename_suffix=f".{uuid4().hex[:8]}")
        self._writers[run.name] = writer
        if sent is None:
            # The summary of the whole experiment is left out: TensorBoard then takes the parameters of all runs
            # together, where it would otherwise show those that the first one has.
            of_arm = {"arm": run.label, "stage": run.tags["stage"]}
            _, begin, _ = hparams({**of_arm, **run.params}, {})
            writer.file_writer.add_summary(begin)
            writer.add_text("tags", "\n".join(f"    {name}: {value}" for name, value in run.tags.items()))
        return sent or SentTrial(run.name)

    def log(self, sent: SentTrial, rows: Sequence[TrackedRow]) -> None:
        """See `Tracker`."""
        writer = self._writers[sent.run]
        for row in rows:
            for name, value in row.metrics.items():
                writer.add_scalar(name, value, row.step, row.time)
        writer.flush()

    def end(self, sent: SentTrial, ended: Ended | None, final: Numbers, news: Numbers) -> None:
        """See `Tracker`."""
        writer = self._writers.pop(sent.run)
        for name, value in news.items():
            writer.add_scalar(name, value, sent.step)
        if ended is not None:
            success = ended.outcome in (Outcome.FINISHED, Outcome.STOPPED_BY_REQUEST)
            status = Status.STATUS_SUCCESS if success else Status.STATUS_FAILURE
            content = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=ended.time))
            data = SummaryMetadata.PluginData(plugin_name=PLUGIN, content=content.SerializeToString())
            told = Summary.Value(tag=END_TAG, metadata=SummaryMetadata(plugin_data=data))
            writer.file_writer.add_summary(Summary(value=[told]))
            writer.add_text("outcome", f"{ended.outcome}: {ended.reason}" if ended.reason else ended.outcome)
        writer.close()
