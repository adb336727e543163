"""Only a browser that opened a printed address gets an answer, and only pages of the server change anything."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from sweep.live.access import CSRF_HEADER, Access, add_headers, guard
from tests.sweep.live.made_up import run

Client = TestClient[web.Request, web.Application]


async def page(request: web.Request) -> web.Response:
    return web.Response(text="the page")


def ask(story: Callable[[Client, Access], Awaitable[None]]) -> None:
    """Tell a story to a server with one page and one thing to change."""

    async def told() -> None:
        server = TestServer(web.Application())
        await server.start_server()
        assert server.port is not None
        access = Access("127.0.0.1", server.port)
        await server.close()
        app = web.Application(middlewares=[guard(access)])
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/", page)
        app.router.add_post("/change", page)
        async with TestClient(TestServer(app, port=access.port)) as client:
            await story(client, access)

    run(told())


async def signed_in(client: Client, access: Access) -> ClientResponse:
    return await client.get(_path(access.new_address()), allow_redirects=False)


def _path(address: str) -> URL:
    parts = urlsplit(address)
    return URL(f"{parts.path}?{parts.query}")


def test_a_token_opens_the_server_once_and_leaves_the_address() -> None:
    async def story(client: Client, access: Access) -> None:
        assert (await client.get("/")).status == 401
        address = _path(access.new_address())
        opened = await client.get(address, allow_redirects=False)
        assert (opened.status, opened.headers["Location"]) == (303, "/")
        cookie = opened.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert await (await client.get("/")).text() == "the page"
        client.session.cookie_jar.clear()
        assert (await client.get(address)).status == 401
        assert (await client.get("/?token=")).status == 401
        assert (await signed_in(client, access)).status == 303  # another one was printed

    ask(story)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.nip.io:{port}", "localhost:1"])
def test_a_name_that_somebody_turned_to_this_machine_gets_no_answer(host: str) -> None:
    async def story(client: Client, access: Access) -> None:
        await signed_in(client, access)
        asked = await client.get("/", headers={"Host": host.format(port=access.port)})
        assert asked.status == 403
        for own in ("localhost", "127.0.0.1", "[::1]"):
            assert (await client.get("/", headers={"Host": f"{own}:{access.port}"})).status == 200

    ask(story)


def test_another_site_changes_nothing() -> None:
    async def story(client: Client, access: Access) -> None:
        await signed_in(client, access)
        [csrf] = access._csrf_of.values()
        own = {"Origin": f"http://127.0.0.1:{access.port}", CSRF_HEADER: csrf}
        assert (await client.post("/change", headers=own)).status == 200
        foreign = [
            {"Origin": "http://evil.example"},
            {"Origin": f"http://localhost:{access.port}"},  # not the name that was asked
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},  # another port of this machine
            {CSRF_HEADER: "guessed"},
            {CSRF_HEADER: "\udcff"},  # a byte that is no text
        ]
        for headers in foreign:
            assert (await client.post("/change", headers={**own, **headers})).status == 403, headers
        assert (await client.post("/change", headers={CSRF_HEADER: csrf})).status == 403
        assert (await client.put("/change", headers=own)).status == 405
        client.session.cookie_jar.clear()
        assert (await client.post("/change", headers=own)).status == 401

    ask(story)


def test_every_answer_keeps_to_its_own_page() -> None:
    async def story(client: Client, access: Access) -> None:
        answers = [
            await client.get("/"),
            await signed_in(client, access),
            await client.get("/"),
            await client.get("/x"),
        ]
        assert [answer.status for answer in answers] == [401, 303, 200, 404]
        for answer in answers:
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self';" in policy
            assert "connect-src 'self'" in policy
            assert "unsafe-eval" not in policy
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
            assert answer.headers["Server"] == "sft-sweep"

    ask(story)


def test_a_server_on_the_port_of_http_is_asked_without_it() -> None:
    async def story(client: Client, access: Access) -> None:
        await signed_in(client, access)
        asked_by = {"Host": "localhost"}
        assert (await client.get("/", headers=asked_by)).status == 403
        access.port = 80
        client.session.cookie_jar.clear()
        assert (await client.get("/", headers=asked_by)).status == 401  # not refused for its Host

    ask(story)
