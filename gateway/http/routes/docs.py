"""The page at /, /openapi.json and /docs, offline: files of ours and Swagger UI's, never of another host."""

import html
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from contracts.codes import CODES, Code
from gateway.folders import find_swagger_ui
from gateway.http.answers import json_response
from gateway.http.prefix import prefix_of

_GATEWAY = Path(__file__).resolve().parents[2]
_OPENAPI = _GATEWAY / "openapi" / "openapi.json"
_PAGES = _GATEWAY / "pages"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The page at / holds no style of its own, and makes its elements without markup.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_PAGE_HEADERS = _HEADERS | {"Content-Security-Policy": PAGE_POLICY}

_SHELL = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><meta name="viewport" content="width=device-width">{head}</head>
<body>{body}</body>
</html>
"""
_START = """window.addEventListener("load", () => SwaggerUIBundle({
  url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null, persistAuthorization: false,
}));
"""


def make_documentation_routes() -> list[BaseRoute]:
    return [
        Route("/", _answer_page),
        Mount("/pages", _PageFiles(directory=_PAGES)),
        Route("/openapi.json", _answer_openapi),
        Route("/docs", _answer_docs),
        Route("/docs/start.js", _answer_start),
        Route("/docs/errors", _answer_errors),
        Mount("/docs/assets", StaticFiles(directory=find_swagger_ui())),
    ]


class _PageFiles(StaticFiles):
    """The page's script and style; a browser asks each time whether they are still the same."""

    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers.update(_PAGE_HEADERS)
        return response


async def _answer_page(request: Request) -> Response:
    """GET /: one static page."""
    return FileResponse(_PAGES / "index.html", headers=_PAGE_HEADERS)


async def _answer_openapi(request: Request) -> Response:
    """GET /openapi.json."""
    prefix = prefix_of(request.scope)
    if not prefix:
        return FileResponse(_OPENAPI, media_type="application/json", headers={"Cache-Control": "no-cache"})
    document = orjson.loads(_OPENAPI.read_bytes()) | {"servers": [{"url": prefix}]}
    return json_response(document, 200, {"Cache-Control": "no-cache"})


async def _answer_docs(request: Request) -> Response:
    """GET /docs."""
    head = (
        '<link rel="stylesheet" href="docs/assets/swagger-ui.css">'
        '<script src="docs/assets/swagger-ui-bundle.js"></script><script src="docs/start.js"></script>'
    )
    body = '<p><a href="docs/errors">Error codes</a> · <a href="openapi.json">openapi.json</a></p><div id="docs"></div>'
    return HTMLResponse(_SHELL.format(title="Everest bootstrap API", head=head, body=body), headers=_HEADERS)


async def _answer_start(request: Request) -> Response:
    return Response(_START, media_type="text/javascript", headers=_HEADERS)


async def _answer_errors(request: Request) -> Response:
    """GET /docs/errors, where the `type` of every problem leads."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    rows = "".join(map(_row, CODES.values()))
    body = f"<h1>Error codes</h1><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return HTMLResponse(_SHELL.format(title="Error codes", head=_STYLE, body=body), headers=_HEADERS)


_COLUMNS = ("Code", "Status", "What happened", "What to do", "Retryable")
_STYLE = (
    "<style>body{font-family:sans-serif;margin:2rem}th,td{text-align:left;padding:.3rem 1rem .3rem 0}"
    ":target{background:#ffc}</style>"
)


def _row(code: Code) -> str:
    texts = (str(code.status or "in a job"), code.title, code.hint, "yes" if code.retryable else "no")
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    return f'<tr id="{code.name}"><th scope="row"><code>{code.name}</code></th>{cells}</tr>'
