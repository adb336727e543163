"""Has stored experiments brought up to date while somebody looks at them, and never otherwise."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sweep.live.known.folder import Folder


def kept_fresh(folder: Folder) -> Middleware:
    """What stands before every handler and has the folder of the server brought up to date."""

    @web.middleware
    async def fresh(request: web.Request, handler: Handler) -> web.StreamResponse:
        await folder.refresh()
        return await handler(request)

    return fresh
