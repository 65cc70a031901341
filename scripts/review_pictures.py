"""Pictures of a study's pages for the documentation, taken in Chromium as somebody sees them."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulated_raters import PASSWORD

WIDE, TABLET = (1280, 860), (834, 1112)
# Chromium itself turns a picture into WebP: no other library is needed.
_TO_WEBP = """async (png) => {
  const image = new Image(); image.src = "data:image/png;base64," + png; await image.decode();
  const canvas = document.createElement("canvas"); canvas.width = image.width; canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", 0.8).split(",")[1];
}"""


class Camera:
    """A browser whose pages are pictured into a folder."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self._browser, self._folder = browser, folder

    def open(self, size: tuple[int, int] = WIDE, scheme: str = "light", state: Any = None) -> Any:
        """A page in a browser window of its own; `state` is whom another one signed in."""
        viewport = {"width": size[0], "height": size[1]}
        return self._browser.new_context(viewport=viewport, color_scheme=scheme, storage_state=state).new_page()

    def take(self, page: Any, name: str) -> None:
        """Picture what is seen of a page."""
        png = base64.b64encode(page.screenshot()).decode()
        blank = self._browser.new_page()
        webp = base64.b64decode(blank.evaluate(_TO_WEBP, png))
        blank.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{name}.webp").write_bytes(webp)


@contextmanager
def _camera(folder: Path) -> Iterator[Camera]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield Camera(browser, folder)
        browser.close()


def picture_invitation(link: str, folder: Path) -> None:
    """What an invited rater sees first."""
    with _camera(folder) as camera:
        page = camera.open()
        page.goto(link)
        camera.take(page, "review-invitation")


def picture_pages(url: str, study: str, coordinate: str, folder: Path) -> None:
    """What the first rater sees, and what a coordinator does."""
    with _camera(folder) as camera:
        page = camera.open()
        page.goto(f"{url}/login")
        camera.take(page, "review-login")
        page.fill("[name=name]", "rater 1")
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector(".study")
        camera.take(page, "review-studies")
        page.goto(f"{url}/studies/{study}")
        camera.take(page, "review-progress")
        page.goto(f"{url}/studies/{study}/pages/1")
        camera.take(page, "review-calibration")
        number = 8
        while not page.goto(f"{url}/studies/{study}/pages/{number}") or not page.locator(".draft .question").count():
            number += 1  # one that came again later is final, and shows no answers
        _picture_judging(camera, page, page.url)
        page = camera.open()
        page.goto(coordinate)
        for name, value in {"name": "coordinator", "password": PASSWORD, "again": PASSWORD}.items():
            page.fill(f"[name={name}]", value)
        page.keyboard.press("Enter")
        page.wait_for_selector(".study")
        page.goto(f"{url}/studies/{study}/coordinate")
        camera.take(page, "review-coordinator")


def _picture_judging(camera: Camera, page: Any, address: str) -> None:
    state = page.context.storage_state()
    for name, size, scheme in (
        ("review-page", WIDE, "light"),
        ("review-page-dark", WIDE, "dark"),
        ("review-page-tablet", TABLET, "light"),
    ):
        page = camera.open(size, scheme, state)
        page.goto(address)
        page.wait_for_load_state("networkidle")
        camera.take(page, name)
    page = camera.open(state=state)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Mark an error in draft A").click()
    page.wait_for_selector("#error-dialog[open]")
    camera.take(page, "review-error")


def picture_analysis(file: Path, folder: Path) -> None:
    """The analysis, part by part."""
    with _camera(folder) as camera:
        for name, scheme, heading in (
            ("review-analysis", "light", None),
            ("review-analysis-dark", "dark", None),
            ("review-differences", "light", "Which differ?"),
            ("review-agreement", "light", "Do the raters agree?"),
        ):
            page = camera.open(scheme=scheme)
            page.goto(file.as_uri())
            if heading:
                page.get_by_role("heading", name=heading).evaluate("node => node.scrollIntoView()")
            camera.take(page, name)
