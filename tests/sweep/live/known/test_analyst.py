"""Analyses are made in a process that the server neither waits for nor leaves behind."""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import time
from pathlib import Path

import psutil
import pytest

from sweep.live.known.analysed import Analysis
from sweep.live.known.analyst import Analyst
from tests.conftest import PATIENCE_SECONDS
from tests.sweep.live.made_up import run


def endless(directory: Path, running: bool) -> Analysis:
    time.sleep(1000)
    return Analysis()


def dies(directory: Path, running: bool) -> Analysis:
    os._exit(9)


def test_a_server_that_ends_ends_what_is_being_worked_out(tmp_path: Path) -> None:
    async def story() -> None:
        analyst = Analyst(endless)
        analyst.want(tmp_path, 1, running=True)
        while not (children := multiprocessing.active_children()):
            await asyncio.sleep(0.05)
        began = time.monotonic()
        await analyst.close()
        for child in children:
            child.join(10)
        assert not multiprocessing.active_children()
        assert time.monotonic() - began < 10

    run(story())


def served_and_killed(told: "multiprocessing.connection.Connection") -> None:
    """A server that is killed while it works something out."""

    async def story() -> None:
        Analyst(endless).want(Path(), 1, running=True)
        while not (children := multiprocessing.active_children()):
            await asyncio.sleep(0.05)
        told.send(children[0].pid)
        await asyncio.sleep(60)

    run(story())


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_no_process_behind() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=served_and_killed, args=(theirs,))
    server.start()
    worker = psutil.Process(ours.recv())
    server.kill()
    server.join()
    psutil.wait_procs([worker], timeout=PATIENCE_SECONDS)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE  # where nobody collects orphans


@pytest.mark.slow
def test_a_process_that_dies_is_told_and_another_one_follows(tmp_path: Path) -> None:
    async def story() -> None:
        analyst = Analyst(dies)
        for state in (1, 2):
            analyst.want(tmp_path, state, running=False)
            while analyst.works_on(tmp_path):
                await asyncio.sleep(0.05)
            told = analyst.newest(tmp_path)
            assert told is not None
            assert told.refusal == "the process that worked out the report was ended"
        await analyst.close()

    run(story())
