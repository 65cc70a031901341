"""The review as a web app, of collaborators that are passed in."""

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from radllama.review import coordinate, openid_sign_in, rating_api, rating_page, sign_in
from radllama.review.pages import PAGES
from radllama.review.site import SignInError, Site, check_origin, sign_in_path
from radllama.web.errors import ApiError, add_error_handlers
from radllama.web.middleware import LOOPBACK, Gate, Watch


def create_app(site: Site, hosts: frozenset[str] | None = LOOPBACK) -> FastAPI:
    """An ASGI app. `hosts` are the names that this server answers to (None: any)."""
    app = FastAPI(
        title="radllama review", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(check_origin)]
    )
    app.state.site = site
    add_error_handlers(app)
    _add_page_errors(app)
    for part in (sign_in, openid_sign_in, rating_page, rating_api, coordinate):
        app.include_router(part.router)
    PAGES.mount(app)
    app.add_api_route("/healthz", lambda: _check(site), include_in_schema=False)
    app.add_middleware(Gate, hosts=hosts)
    app.add_middleware(Watch, log=site.log)
    return app


def _check(site: Site) -> dict[str, str]:
    site.store.check()
    return {"status": "ok"}


def _add_page_errors(app: FastAPI) -> None:
    """To a browser that asks for a page an error is a page; to a script it stays JSON."""
    as_json = {kind: app.exception_handlers[kind] for kind in (ApiError, HTTPException, RequestValidationError)}

    def tell(request: Request, error: Any) -> Response:
        answer: Response = as_json[next(kind for kind in as_json if isinstance(error, kind))](request, error)  # type: ignore[assignment]
        if not _wants_page(request):
            return answer
        told = error.message if isinstance(error, ApiError) else _TOLD.get(answer.status_code, "this cannot be read")
        page = PAGES.render("error.html.j2", answer.status_code, visitor=None, told=told)
        if wait := answer.headers.get("retry-after"):
            page.headers["Retry-After"] = wait
        return page

    for kind in as_json:
        app.exception_handler(kind)(tell)

    @app.exception_handler(SignInError)
    def _sign_in(request: Request, _: SignInError) -> Response:
        if _wants_page(request):
            return RedirectResponse(sign_in_path(request), 303)
        return ApiError(401, "sign in to go on", "signed_out").response()


_TOLD = {
    404: "there is nothing at this address",
    405: "this address does not take this",
    400: "a field is missing or too long",
}


def _wants_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")
