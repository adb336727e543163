"""Has experiments analysed one after another, in another process, and no more often than a sweep can spare."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from sweep.live.known.analysed import Analysis, analyse, begin_apart

REST = 4.0
"""Rests this many times as long as an analysis took, while a sweep runs: one fifth of the time is analysis."""


class Analyst:
    """The analyses of experiments by directory, each of the newest state that there was time for."""

    def __init__(self, work: Callable[[Path, bool], Analysis] = analyse, executor: Executor | None = None) -> None:
        """`work` is done in `executor`; None: in a process that starts with the first of it."""
        self._work = work
        self._executor = executor
        self._done: dict[Path, tuple[Hashable, Analysis]] = {}
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._rests_until = 0.0

    def newest(self, directory: Path) -> Analysis | None:
        """What is known of an experiment; None before its first analysis has ended."""
        return self._done[directory][1] if directory in self._done else None

    def works_on(self, directory: Path) -> bool:
        """Whether an experiment is being analysed, or waits for its turn."""
        return directory in self._tasks

    def want(self, directory: Path, state: Hashable, running: bool) -> None:
        """Have an experiment analysed if it is in another state than last time. Returns at once.

        Args:
            directory: the experiment.
            state: equal while its report would say the same.
            running: whether a sweep runs in it, which needs the processors itself.
        """
        known = self._done.get(directory)
        if directory in self._tasks or (known is not None and known[0] == state):
            return
        if running and time.monotonic() < self._rests_until:
            return
        task = asyncio.get_running_loop().create_task(self._analyse(directory, state, running))
        self._tasks[directory] = task
        task.add_done_callback(lambda _: self._tasks.pop(directory, None))

    async def _analyse(self, directory: Path, state: Hashable, running: bool) -> None:
        async with self._turn:
            began = time.monotonic()
            if self._executor is None:
                spawn = multiprocessing.get_context("spawn")
                self._executor = ProcessPoolExecutor(1, mp_context=spawn, initializer=begin_apart)
            try:
                analysis = await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._work, directory, running
                )
            except BrokenProcessPool:  # such as by a lack of memory; the next analysis gets a new process
                self._executor = None
                analysis = Analysis(refusal="the process that worked out the report was ended")
            ended = time.monotonic()
            self._done[directory] = (state, analysis)
            self._rests_until = ended + REST * (ended - began)

    async def close(self) -> None:
        """End what is being worked out."""
        for task in list(self._tasks.values()):
            task.cancel()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        if isinstance(self._executor, ProcessPoolExecutor):
            for process in multiprocessing.active_children():  # Python would wait for what it works on
                process.terminate()
