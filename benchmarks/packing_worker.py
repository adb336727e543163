"""The part of `benchmarks.declared_gpu` that imports Ray. Import it only after `set_ray_environment`."""

import json
import logging
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune

from basis.directory import OUT_OF_MEMORY_FILE
from benchmarks.declared_gpu import Order, Sample, Schedule, Span, Stub
from benchmarks.packing_stub import SPANS_FILE, Bundles, Wait, Waiting
from sweep.cluster.session import OBJECT_STORE_BYTES
from sweep.memory.attempts import Attempt
from sweep.memory.gpu_sharing import GpuSharing
from sweep.memory.packing import Packing, budget_on
from sweep.proposal import Proposal, TrialPlanner
from sweep.tune.searchers import RoundsSearch
from sweep.tune.shares import RetryAlone, Shares

SAMPLE_SECONDS = 0.2


class Sampler(threading.Thread):
    """Samples the shares that Ray has set aside, every SAMPLE_SECONDS, as long as a `with` block lasts."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Take samples until the block ends."""
        while not self._over.wait(SAMPLE_SECONDS):
            groups = [group for group in ray.util.placement_group_table().values() if group["state"] == "CREATED"]
            shares = (bundle["GPU"] for group in groups for bundle in group["bundles"].values())
            self.samples.append(Sample(time.time(), tuple(shares)))

    def __enter__(self) -> "Sampler":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def carry_out(orders: tuple[Order, ...]) -> list[Schedule]:
    """Start Ray with a declared GPU and schedule the orders one after another."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a trial that runs out of memory is expected
    ray.init(
        address="local",
        num_cpus=orders[0].cpus,
        num_gpus=1,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        return [_carry_out(order) for order in orders]
    finally:
        ray.shutdown()


def _carry_out(order: Order) -> Schedule:
    """Carry out one order, set up as `sweep.tune.tuning.tune_trials` sets up a sweep."""
    planner = TrialPlanner({None: order.shape}, order.device, budget_on(order.device, order.resources, None))
    shares = Shares(GpuSharing(order.resources, Packing(order.device), {None: order.shape}))
    proposals = [planner.propose_to_ray(stub.config) for stub in order.stubs]
    bundles = Bundles(proposals, shares)
    folder = order.experiment_dir
    folder.mkdir(parents=True)
    waits = {stub.config.name: _wait(stub, folder) for stub in order.stubs}
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(proposals), 64))
    with Sampler() as sampler:
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(Waiting, waits=waits, folder=folder), bundles),
            tune_config=tune.TuneConfig(
                search_alg=RoundsSearch([iter([proposals])], iter([])),
                scheduler=RetryAlone(shares.alone),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=folder.name,
                storage_path=str(folder.parent),
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()
    lines = (folder / SPANS_FILE).read_text(encoding="utf-8").splitlines()
    spans = [Span(**json.loads(line)) for line in lines]
    asked = {
        stub.config.name: bundles(proposal).required_resources["GPU"]
        for stub, proposal in zip(order.stubs, proposals, strict=True)
    }
    return Schedule(asked, spans, sampler.samples, results.num_errors)


def _name(trial: Any) -> str:
    return Proposal.from_ray(trial.config).config.name


def _wait(stub: Stub, folder: Path) -> Wait:
    attempts = [asdict(Attempt("training", 1, False, None, 0, 0, None))] * stub.attempts_out_of_memory
    texts = [json.dumps(attempts[: count + 1]) for count in range(len(attempts))]
    return Wait(stub.seconds, folder / stub.config.name / OUT_OF_MEMORY_FILE, texts)
