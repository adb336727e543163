"""The server: which address gives what."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from basis.errors import UserError, name_failure
from sweep.live import new_sweep
from sweep.live.access import Access, add_headers, guard
from sweep.live.asking import ask_sweep_of
from sweep.live.fresh import kept_fresh
from sweep.live.known.analyst import Analyst
from sweep.live.known.experiment import Experiment
from sweep.live.known.experiment_state import Stage
from sweep.live.known.folder import Folder, trial_folder
from sweep.live.known.parts import Parts
from sweep.live.privacy import cleaned
from sweep.live.static_files import static_file
from sweep.live.views.experiment_view import render, set_parts
from sweep.live.views.folder_view import comparison, set_experiments
from sweep.live.views.live_curves import curves_part, lacking_points
from sweep.live.views.trial_view import set_trial_parts
from sweep.spec_file.presets import preset_about, preset_names
from sweep.steering.words import request_in_words

RUNNING_SECONDS, RESTING_SECONDS, READING_SECONDS = 1.0, 10.0, 0.05
"""When a page asks again: while something runs, while nothing does, and while there is more to be read at once."""
MOST_POSTED_BYTES = 2**20
MOST_TRIAL_PAGES = 64
"""Whose pieces are kept, each of up to a few MiB; the page of another trial is sent anew as a whole."""
ANSWER_SECONDS = 60.0
"""For which a page waits for the sweep's answer: planning a trial's memory takes seconds, of a large model more."""


@dataclass(frozen=True)
class Server:
    """What a server serves, to whom, and what it knows of it.

    Attributes:
        folder: an experiment directory, or a folder of them.
        access: who may ask.
        analyst: works out what reports say.
        followed: the experiments that somebody has looked at, by directory.
        experiments: the pieces of the page of all experiments.
        trials: the pieces of the pages of trials, by experiment and name.
    """

    folder: Folder
    access: Access
    analyst: Analyst
    followed: dict[Path, Experiment]
    experiments: Parts
    trials: dict[tuple[Path, str], Parts]

    @property
    def may_start(self) -> bool:
        """Whether new sweeps may be started."""
        return self.folder.may_start

    def cleaned(self, text: str) -> str:
        """A text as it may leave the server, with paths of the folder as they are within it; see `cleaned`."""
        return cleaned(text).replace(cleaned(f"{self.folder.root.parent}/"), "")

    def experiment(self, request: web.Request) -> Experiment:
        """The experiment that a request names.

        Raises:
            HTTPNotFound: there is none of that name; of one that has been looked at, what is known stays.
        """
        name = request.match_info["name"]
        directory = self.folder.experiments().get(name)
        if directory is None and self.folder.root.name == name:
            directory = self.folder.root  # it is not there yet, or has vanished
        if directory is None:
            directory = next((known for known in self.followed if known.name == name), None)
        if directory is None:
            raise web.HTTPNotFound(text="There is no experiment of that name in the folder.\n")
        return self.follow(directory)

    def follow(self, directory: Path) -> Experiment:
        """What is known of an experiment."""
        return self.followed.setdefault(directory, Experiment(directory, self.analyst, self.folder.place_of(directory)))

    def trial_parts(self, experiment: Experiment, trial: str) -> Parts:
        """The pieces of a trial's page; those of the page that was asked for longest ago make way for new ones."""
        key = experiment.directory, trial
        self.trials[key] = parts = self.trials.pop(key, None) or Parts()
        while len(self.trials) > MOST_TRIAL_PAGES:
            del self.trials[next(iter(self.trials))]
        return parts


SERVER = web.AppKey("server", Server)


def make_app(folder: Folder, access: Access, analyst: Analyst) -> web.Application:
    """The application that serves a folder.

    Args:
        folder: what it was started with.
        access: who may ask.
        analyst: works out what reports say; closed with the application.
    """
    app = web.Application(middlewares=[guard(access), kept_fresh(folder)], client_max_size=MOST_POSTED_BYTES)
    app[SERVER] = Server(folder, access, analyst, {}, Parts(), {})
    app.on_response_prepare.append(add_headers)
    app.on_cleanup.append(lambda _: analyst.close())
    routes = {
        "/": home_page,
        "/deltas": home_deltas,
        "/compare": compare_page,
        "/static/{file}": static_file,
        "/e/{name}": experiment_page,
        "/e/{name}/deltas": experiment_deltas,
        "/e/{name}/t/{trial}": trial_page,
        "/e/{name}/t/{trial}/deltas": trial_deltas,
        "/new": new_page,
    }
    for path, handler in routes.items():
        app.router.add_get(path, handler, allow_head=False)
    app.router.add_post("/new/{step}", new_step)
    app.router.add_post("/e/{name}/ask", ask_sweep)
    return app


def page(request: web.Request, template: str, title: str, **values: Any) -> web.Response:
    """A page of the server, with what all of them have."""
    server = request.app[SERVER]
    common = {
        "title": title,
        "csrf": server.access.csrf_of(request),
        "many": not server.folder.is_experiment,
        "crumbs": [],
        "deltas": "",
        "ask": "",
        "scripts": ["page", "live", "ask"],
    }
    return web.Response(text=server.cleaned(render(template, **{**common, **values})), content_type="text/html")


def deltas(request: web.Request, parts: Parts, every: float, curves: Mapping[str, Any] | None = None) -> web.Response:
    """What has changed since the cursor of a request."""
    known = parts.since(request.query.get("cursor", ""))
    changed = {part: request.app[SERVER].cleaned(html) for part, html in parts.changed(known).items()}
    answer = {"cursor": parts.cursor, "every": every, "ids": parts.ids, "parts": changed, "curves": curves or {}}
    return web.json_response(answer)


def address_of(name: str) -> str:
    """Where an experiment's page is."""
    return f"/e/{quote(name, safe='')}"


async def home_page(request: web.Request) -> web.Response:
    """GET /: the experiments of the folder, or the only one."""
    folder = request.app[SERVER].folder
    if folder.is_experiment:
        raise web.HTTPSeeOther(address_of(folder.root.name))
    return page(request, "folder", "Experiments", deltas="/deltas", many=False)


async def home_deltas(request: web.Request) -> web.Response:
    """GET /deltas: what has changed in the list of experiments."""
    server = request.app[SERVER]
    moves = await set_experiments(server.experiments, server.folder, server.follow)
    every = RUNNING_SECONDS if moves else RESTING_SECONDS
    return deltas(request, server.experiments, every)


async def compare_page(request: web.Request) -> web.Response:
    """GET /compare?e=NAME&e=NAME: the leaders of several experiments, side by side."""
    server = request.app[SERVER]
    known = server.folder.experiments()
    chosen = [known[name] for name in dict.fromkeys(request.query.getall("e", [])) if name in known]
    rows = []
    for path in chosen:
        experiment = server.follow(path)
        await experiment.look()
        rows += comparison(experiment)
    return page(request, "compare", "Side by side", rows=rows)


async def experiment_page(request: web.Request) -> web.Response:
    """GET /e/NAME: an experiment, whose parts its script asks for."""
    name = request.app[SERVER].experiment(request).directory.name
    address, scripts = address_of(name), ["bokeh", "page", "live", "curves", "ask"]
    return page(request, "experiment", name, deltas=f"{address}/deltas", ask=f"{address}/ask", scripts=scripts)


async def experiment_deltas(request: web.Request) -> web.Response:
    """GET /e/NAME/deltas?cursor=...: what has changed on the experiment's page."""
    experiment = request.app[SERVER].experiment(request)
    await experiment.look()
    curves_html = await asyncio.to_thread(curves_part, experiment)
    await asyncio.to_thread(set_parts, experiment, experiment.directory.name, curves_html)
    if not experiment.is_read:
        every = READING_SECONDS
    else:
        state = experiment.state
        soon = state.moves or state.stage == Stage.GONE or experiment.is_being_analysed
        every = RUNNING_SECONDS if soon else RESTING_SECONDS
    known = experiment.parts.since(request.query.get("cursor", ""))
    curves = lacking_points(experiment, known)
    return deltas(request, experiment.parts, every, curves)


async def trial_page(request: web.Request) -> web.Response:
    """GET /e/NAME/t/TRIAL: one trial, whose parts its script asks for."""
    name, trial = request.app[SERVER].experiment(request).directory.name, request.match_info["trial"]
    address = address_of(name)
    return page(
        request,
        "trial",
        trial,
        crumbs=[(name, address)],
        deltas=f"{address}/t/{quote(trial, safe='')}/deltas",
        ask=f"{address}/ask",
    )


async def trial_deltas(request: web.Request) -> web.Response:
    """GET /e/NAME/t/TRIAL/deltas?cursor=...: what has changed on the trial's page."""
    server, trial = request.app[SERVER], request.match_info["trial"]
    experiment = server.experiment(request)
    await experiment.look()
    if trial not in experiment.progress.trials and trial_folder(experiment.directory, trial) is None:
        raise web.HTTPNotFound(text="There is no trial of that name in the experiment.\n")
    parts = server.trial_parts(experiment, trial)
    await asyncio.to_thread(set_trial_parts, parts, experiment, trial)
    every = RUNNING_SECONDS if experiment.state.moves else RESTING_SECONDS
    return deltas(request, parts, every if experiment.is_read else READING_SECONDS)


async def new_page(request: web.Request) -> web.Response:
    """GET /new: the form that starts a new sweep."""
    _check_may_start(request)
    presets = [(name, preset_about(name)) for name in preset_names()]
    return page(request, "new", "Start a new sweep", presets=presets, scripts=["page", "start"])


async def new_step(request: web.Request) -> web.Response:
    """POST /new/check, /new/dry-run and /new/start: a spec, as text."""
    _check_may_start(request)
    spec = str((await posted(request)).get("spec", ""))
    match request.match_info["step"]:
        case "check":
            told = await asyncio.to_thread(new_sweep.check, spec)
        case "dry-run":
            told = await new_sweep.dry_run(spec)
        case "start":
            told = await asyncio.to_thread(new_sweep.start, spec, request.app[SERVER].folder.root)
        case _:
            raise web.HTTPNotFound(text="There is nothing of that name to do.\n")
    return web.json_response({"ok": told.ok, "text": request.app[SERVER].cleaned(told.text), "link": told.link})


async def ask_sweep(request: web.Request) -> web.Response:
    """POST /e/NAME/ask: a request to the running sweep, in the words of `sweep.control`."""
    experiment = request.app[SERVER].experiment(request)
    words = (await posted(request)).get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise web.HTTPBadRequest(text="The words of a request are accepted, as a list of texts.\n")
    try:
        asked = request_in_words(words, "page")
        decision = await asyncio.to_thread(ask_sweep_of, experiment, asked, ANSWER_SECONDS)
    except (UserError, OSError) as error:
        return web.json_response({"text": request.app[SERVER].cleaned(name_failure(error))}, status=409)
    if decision is None:
        return web.json_response({"text": f"Asked, and not answered within {ANSWER_SECONDS:g} s: {asked.words}"})
    answer = request.app[SERVER].cleaned(decision.answer)
    return web.json_response({"text": answer}, status=409 if decision.refused else 200)


async def posted(request: web.Request) -> dict[str, Any]:
    """The JSON object that a request carries.

    Raises:
        HTTPBadRequest: it carries none.
    """
    try:
        value = await request.json() if request.content_type == "application/json" else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="A JSON object is accepted, and nothing else.\n")
    return value


def _check_may_start(request: web.Request) -> None:
    if not request.app[SERVER].may_start:
        raise web.HTTPNotFound(text="New sweeps are started where the server was given a folder of experiments.\n")
