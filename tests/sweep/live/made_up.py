"""Experiment directories made by hand, and a server of them whose reports are made by hand, too."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from yarl import URL

from sweep.live.access import CSRF_HEADER, Access
from sweep.live.known.analysed import Analysis
from sweep.live.known.analyst import Analyst
from sweep.live.known.folder import Folder
from sweep.live.server import make_app
from sweep.live.static_files import static_texts
from sweep.progress.event_file import append_events
from sweep.progress.events import DeviceMemory, Event, OverEvent, PlannedTrial, RowEvent, SweepEvent
from tests.sweep.progress.made_up import end, planned, start

HERE = "node-of-a-cluster cpu"
TRIALS = [
    planned(f"{label.replace(' ', '-')}-s{seed}", label, 100) for label in ("full adamw", "lora r8") for seed in (0, 1)
]


class Client:
    """A browser that has opened the server's address."""

    def __init__(self, client: "TestClient[web.Request, web.Application]", access: Access) -> None:
        self.client, self.access = client, access

    async def get(self, path: str) -> tuple[int, str]:
        answer = await self.client.get(path)
        return answer.status, await answer.text()

    async def deltas(self, path: str, cursor: str = "") -> dict[str, Any]:
        answer = await self.client.get(f"{path}/deltas", params={"cursor": cursor})
        assert answer.status == 200, await answer.text()
        told = await answer.json()
        assert isinstance(told, dict)
        return told

    async def post(self, path: str, **values: Any) -> tuple[int, dict[str, Any]]:
        [csrf] = self.access._csrf_of.values()
        headers = {"Origin": f"http://127.0.0.1:{self.access.port}", CSRF_HEADER: csrf}
        answer = await self.client.post(path, json=values, headers=headers)
        return answer.status, await answer.json() if answer.content_type == "application/json" else {}


def report(directory: Path) -> Analysis:
    """A report that says how many trials had finished."""
    finished = sum("finished" in line for line in (directory / "events.jsonl").read_text().split("\n"))
    return Analysis(title=directory.name, sections={"summary": f'<section id="summary">after {finished}</section>'})


def visit(
    folder: Path | Folder, story: Callable[[Client], Awaitable[None]], work: Callable[[Path], Analysis] = report
) -> None:
    """Tell a story to a server of a folder."""
    shown = Folder(folder) if isinstance(folder, Path) else folder

    async def told() -> None:
        access = Access("127.0.0.1", unused_port())
        app = make_app(shown, access, Analyst(lambda directory, running: work(directory), ThreadPoolExecutor(1)))
        async with TestClient(TestServer(app, port=access.port)) as client:
            parts = urlsplit(access.new_address())
            await client.get(URL(f"{parts.path}?{parts.query}"), allow_redirects=False)
            await story(Client(client, access))

    run(told())


def run(story: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread: playwright keeps a loop in the one that it was started in."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, story).result()


def tell(directory: Path, *events: Event) -> None:
    """Let a sweep write events."""
    directory.mkdir(parents=True, exist_ok=True)
    for event in events:
        append_events(directory / "events.jsonl", event)


def sweep(time: float, pid: int | None = None, trials: list[PlannedTrial] = TRIALS) -> Event:
    memory = (DeviceMemory(device="cpu", capacity_bytes=8 * 2**30),)
    return SweepEvent(
        time=time, total=len(trials), planned=tuple(trials), devices=memory, pid=os.getpid() if pid is None else pid
    )


def row(trial: PlannedTrial, time: float, step: int, loss: float) -> Event:
    metrics = {"test_loss": loss, "train_loss": loss, "train_seconds": float(step), "peak_bytes": 2.0**30}
    return RowEvent(time=time, trial=trial.trial, step=step, metrics=metrics, device="cpu", place=HERE)


def over(time: float, interrupted: int = 0) -> Event:
    return OverEvent(time=time, finished=len(TRIALS) - interrupted, failed=0, interrupted=interrupted)


def running(directory: Path, now: float) -> None:
    """A sweep of four trials of which one has finished, two run, and one waits."""
    first, second, third, _ = TRIALS
    tell(directory, sweep(now - 100), start(first, now - 99), start(second, now - 98))
    tell(directory, *(row(first, now - 90 + step, step, 4 - step / 100) for step in (0, 50, 100)), end(first, now - 50))
    tell(directory, *(row(second, now - 90 + step, step, 4 - step / 200) for step in (0, 50)), start(third, now - 40))
    (directory / "spec.yaml").write_text("name: made up\n")
    for trial in (first, second, third):
        folder = directory / trial.trial
        folder.mkdir()
        (folder / "params.json").write_text(json.dumps({"lr": 1e-3, "method": trial.label.split()[0]}))


@contextmanager
def served(folder: Path, work: Callable[[Path], Analysis] = report) -> Iterator[Access]:
    """A server of a folder in a thread of its own, for a browser."""
    loop, access = asyncio.new_event_loop(), Access("127.0.0.1", unused_port())
    runner = web.AppRunner(
        make_app(Folder(folder), access, Analyst(lambda directory, running: work(directory), ThreadPoolExecutor(1)))
    )

    async def begin() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", access.port).start()

    static_texts()  # takes seconds the first time
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
        yield access
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
