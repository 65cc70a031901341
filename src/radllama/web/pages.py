"""Pages: templates of an app over those that all share, escaped, and no word on them from elsewhere."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

_SHARED = Path(__file__).parent / "static"


class Pages:
    """The templates of a package (its folder `templates`, over `radllama.web`'s) and its static files."""

    def __init__(self, package: str, folder: Path) -> None:
        """`folder` is the package's; its `static` is served under /static, what all apps share under /shared."""
        loader = ChoiceLoader([PackageLoader(package), PackageLoader("radllama.web")])
        self._environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._static = folder / "static"

    def mount(self, app: FastAPI) -> None:
        """Serve the static files."""
        app.mount("/static", StaticFiles(directory=self._static), name="static")
        app.mount("/shared", StaticFiles(directory=_SHARED), name="shared")

    def render(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The page of a template. Raises jinja2's UndefinedError for a value that it lacks."""
        return HTMLResponse(self._environment.get_template(name).render(**values), status)
