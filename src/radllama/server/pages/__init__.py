"""The pages: one to draft at, one that shows drift, one that lists the paths. No word on them comes from elsewhere."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from radllama.drafting.style import STYLES
from radllama.server.feedback import REASONS
from radllama.web.pages import Pages

_pages = Pages("radllama.server.pages", Path(__file__).parent)
router = APIRouter(include_in_schema=False)


def add_pages(app: FastAPI) -> None:
    """Serve the pages and what they are made of."""
    app.include_router(router)
    _pages.mount(app)


@router.get("/")
def show_drafting() -> HTMLResponse:
    """Where a radiologist drafts."""
    return _pages.render("draft.html.j2", styles=STYLES, reasons=REASONS)


@router.get("/drift")
def show_drift() -> HTMLResponse:
    """How drafts fare over time."""
    return _pages.render("drift.html.j2")


@router.get("/docs")
def show_paths(request: Request) -> HTMLResponse:
    """The paths of the API, from its own description."""
    described = request.app.openapi()
    paths = [
        (method.upper(), path, entry.get("description", ""))
        for path, entries in described["paths"].items()
        for method, entry in entries.items()
    ]
    return _pages.render("docs.html.j2", paths=paths)
