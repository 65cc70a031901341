"""The review in a real browser: judged by keys alone; no connection, no session and no second tab loses an answer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import CHROMIUM
from review_servers import PASSWORD, Reviewing, reviewing
from review_studies import FORM
from sqlalchemy import select

from radllama.review.book import find_page, held_answers, page_seconds
from radllama.review.studies import find_study
from radllama.review.tables import AnswerRow, PageRow

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
DRAFT = "5555511"  # five scales, harm, signing
FIRST = "/studies/pilot/pages/1"
PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewing]:
    with reviewing(tmp_path_factory.mktemp("home"), reports=4, raters=30) as one:
        yield one


@pytest.fixture(scope="module")
def practising(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewing]:
    """A study that begins with a calibration page."""
    with reviewing(tmp_path_factory.mktemp("home"), reports=3, raters=6, calibration=True) as one:
        yield one


class Desk:
    """A rater at a browser."""

    def __init__(self, server: Reviewing, context: Any, seat: int) -> None:
        self.server, self.context, self.seat = server, context, seat
        self.wrong: list[str] = []

    def open(self, path: str = FIRST, wait: str = ".question.at") -> Any:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on(
            "request", lambda asked: None if asked.url.startswith(self.server.url) else self.wrong.append(asked.url)
        )
        page.goto(self.server.url + path)
        page.wait_for_selector(wait)
        page.wait_for_function(PAINTED)  # Chromium drops keys before that; nobody types on a page not seen yet
        return page

    def held(self, number: int = 1) -> dict[tuple[int, str], Any]:
        """What holds on a page, by (place, question); marks under their question."""
        with self.server.store.read() as session:
            page = self.row(session, number)
            places = {0: 0, **{one: at for at, one in enumerate(page.candidates, start=1)}}
            held = held_answers(session, page).items()
            return {(places[candidate], name): one.value for (candidate, name, _), one in held if one.value is not None}

    def row(self, session: Any, number: int) -> PageRow:
        page = find_page(session, find_study(session, "pilot"), self.seat, number)
        assert page is not None
        return page

    def state(self, number: int = 1) -> tuple[str, str]:
        with self.server.store.read() as session:
            page = self.row(session, number)
            return page.state, page.reason

    def acts(self) -> list[AnswerRow]:
        with self.server.store.read() as session:
            mine = select(AnswerRow).join(PageRow, PageRow.id == AnswerRow.page_id).where(PageRow.seat == self.seat)
            return list(session.scalars(mine.order_by(AnswerRow.id)))


@pytest.fixture
def sit_down(browser: Any) -> Iterator[Callable[..., Desk]]:
    """Somebody signs in with an account of their own."""
    opened: list[Desk] = []

    def sit(server: Reviewing, width: int = 1280, scheme: str = "light", seat: int | None = -1) -> Desk:
        seat = server.seat() if seat == -1 else seat
        name = server.join(seat)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        desk = Desk(server, context, seat or 0)
        opened.append(desk)
        page = desk.open("/login", "[name=name]")
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector(".study")
        page.close()
        return desk

    yield sit
    for desk in opened:
        desk.context.close()
        assert desk.wrong == []


def press(page: Any, keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page: Any) -> None:
    page.wait_for_selector("#saved[data-state=saved]")


def test_a_page_is_judged_by_keys_alone(server: Reviewing, sit_down: Callable[..., Desk]) -> None:
    desk = sit_down(server)
    page = desk.open()
    assert page.inner_text("#left") == "24 to go"
    press(page, DRAFT + "4444422" + "3333333" + "123")
    assert page.inner_text("#left") == ""
    saved(page)
    held = desk.held()
    assert [held[1, item.name] for item in FORM.items if item.kind in ("scale", "choice")] == [5] * 5 + [
        "none",
        "as_it_is",
    ]
    assert (held[2, "harm"], held[3, "signing"]) == ("mild", "rewrite")
    assert len(held[0, "preference"]) == 3
    press(page, "n")
    page.wait_for_url("**/pages/2")
    assert desk.state() == ("done", "")
    press(page, "b")
    page.wait_for_url("**/pages/1")
    assert page.locator("input[type=radio]:checked").count() == 24
    with server.store.read() as session:
        assert page_seconds(session, desk.row(session, 1)) > 0


def test_what_is_missing_is_shown_and_reached(server: Reviewing, sit_down: Callable[..., Desk]) -> None:
    page = sit_down(server).open()
    press(page, DRAFT[:6] + "n")
    assert page.inner_text("#said") == "18 answers are missing."
    assert page.evaluate("document.activeElement.name") == "signing-1"
    assert page.locator(".question.missing").count() == 18


def test_errors_are_marked_from_word_to_word_and_taken_back(server: Reviewing, sit_down: Callable[..., Desk]) -> None:
    desk = sit_down(server)
    page = desk.open()
    words = page.inner_text('[data-shown="1"]')
    press(page, "e")
    page.wait_for_selector("#error-dialog[open]")
    page.click("#error-add")
    assert "the words, or that it is missing; the kind; the significance" in page.inner_text("#error-problem")
    page.locator("#error-words button >> nth=0").focus()
    for key in ("Enter", "ArrowRight", "Enter", "3"):  # the first word, to the second; the third kind
        page.keyboard.press(key)
    page.check("[name=error-significance][value=significant]")
    page.click("#error-add")
    saved(page)
    mark = desk.held()[1, "errors"]
    assert mark == {
        "kind": "location", "significance": "significant", "start": 0, "end": len(" ".join(words.split(" ")[:2])),
    }  # fmt: skip
    assert page.inner_text('[data-shown="1"] mark') == words[: mark["end"]]
    page.click('[aria-label="Mark an error in draft B"]')
    page.check("#error-nowhere")
    page.check("[name=error-kind][value=omission]")
    page.check("[name=error-significance][value=insignificant]")
    page.click("#error-add")
    saved(page)
    assert desk.held()[2, "errors"]["start"] is None
    page.reload()
    page.wait_for_selector(".question.at")
    assert page.locator(".marks li").count() == 2
    page.click('[data-place="1"] .marks button')
    saved(page)
    assert (1, "errors") not in desk.held()


def test_without_a_connection_answers_wait_in_the_browser_and_arrive(
    server: Reviewing, sit_down: Callable[..., Desk]
) -> None:
    desk = sit_down(server)
    page = desk.open()
    press(page, "5")
    saved(page)
    desk.context.set_offline(True)
    press(page, "4")
    page.wait_for_selector("#saved.bad")
    press(page, "3")
    page.click("summary >> nth=0")
    page.fill("textarea >> nth=0", "Written without a connection.")
    page.locator("textarea >> nth=0").blur()
    page.wait_for_selector("#saved[data-count='3']")
    assert "no connection: 3 answers are kept in this browser" in page.inner_text("#saved")
    assert len(desk.held()) == 1
    page.close()  # and the tab is lost, too
    desk.context.set_offline(False)
    page = desk.open()
    assert page.locator("input[type=radio]:checked").count() == 3
    assert page.input_value("textarea >> nth=0") == "Written without a connection."
    saved(page)
    held = desk.held()
    assert [held[1, name] for name in ("understandability", "coherence", "relevance")] == [5, 4, 3]
    assert held[1, "comment"] == "Written without a connection."
    assert page.evaluate("localStorage.length") == 0  # no text stays behind in the browser


def test_an_acknowledgement_that_is_lost_doubles_nothing(server: Reviewing, sit_down: Callable[..., Desk]) -> None:
    desk = sit_down(server)
    page = desk.open()
    lost: list[Any] = []

    def lose_first(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch())  # the server has it; the browser never hears
        route.abort()

    page.route("**/answers", lose_first)
    press(page, "5")
    page.wait_for_selector('[name="understandability-1"][value="5"]:checked')
    saved(page)
    assert len(lost) == 1
    assert [row.value for row in desk.acts()] == [5]


def test_a_session_that_ends_in_the_middle_loses_nothing(server: Reviewing, sit_down: Callable[..., Desk]) -> None:
    desk = sit_down(server)
    page = desk.open()
    cookies = desk.context.cookies()
    desk.context.clear_cookies()
    press(page, "54")
    page.wait_for_selector("#saved[data-count='2'] a")
    assert "signed out: 2 answers are kept in this browser" in page.inner_text("#saved")
    assert desk.held() == {}
    desk.context.add_cookies(cookies)  # signed in again, in another tab
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    saved(page)
    assert len(desk.held()) == 2


def test_two_tabs_show_each_others_answers_and_keep_both_texts(
    server: Reviewing, sit_down: Callable[..., Desk]
) -> None:
    desk = sit_down(server)
    one, two = desk.open(), desk.open()
    press(one, "5")
    saved(one)
    two.wait_for_selector('[name="understandability-1"][value="5"]:checked')
    press(two, "k2")  # changed in the second tab, knowing the first
    saved(two)
    one.wait_for_selector('[name="understandability-1"][value="2"]:checked')
    for tab in (one, two):
        tab.click("summary >> nth=0")
    # The second tab is typing when the first one's words are kept.
    two.evaluate("document.querySelector('textarea').value = 'Of the second.'")
    one.fill("textarea >> nth=0", "Of the first.")
    one.locator("textarea >> nth=0").blur()
    saved(one)
    two.dispatch_event("textarea >> nth=0", "change")
    two.wait_for_selector(".other:not([hidden])")
    assert "Another page has written: “Of the first.”" in two.inner_text(".other >> nth=0")
    assert two.input_value("textarea >> nth=0") == "Of the second."
    assert desk.held()[1, "comment"] == "Of the first."
    two.click("text=Keep mine")
    saved(two)
    assert desk.held()[1, "comment"] == "Of the second."
    assert [row.value for row in desk.acts() if row.question == "comment"] == ["Of the first.", "Of the second."]


def test_a_page_is_skipped_for_a_reason_and_the_clock_can_pause(
    server: Reviewing, sit_down: Callable[..., Desk]
) -> None:
    desk = sit_down(server)
    page = desk.open()
    press(page, "p")
    page.wait_for_selector("#pause-dialog[open]")
    before = page.inner_text("#time")
    page.wait_for_timeout(1300)
    assert page.inner_text("#time") == before
    page.keyboard.press("Enter")
    press(page, "s")
    page.wait_for_selector("#skip-dialog[open]")
    page.fill("#skip-reason", "The findings are cut off.")
    page.click("text=Skip for it")
    page.wait_for_url("**/pages/2")
    assert desk.state() == ("skipped", "The findings are cut off.")


def test_single_keys_can_be_turned_off(server: Reviewing, sit_down: Callable[..., Desk]) -> None:
    page = sit_down(server).open()
    press(page, "?")
    page.uncheck("#keys-on")
    page.keyboard.press("Escape")
    press(page, "5")
    assert page.locator("input[type=radio]:checked").count() == 0


def test_calibration_shows_what_was_expected_once_it_is_answered(
    practising: Reviewing, sit_down: Callable[..., Desk]
) -> None:
    desk = sit_down(practising)
    page = desk.open()
    assert "differs" not in page.inner_text("main")
    press(page, DRAFT + DRAFT + "1" + "n")
    page.wait_for_selector(".feedback")
    assert "The side of the effusion is wrong." in page.inner_text("main")
    assert page.locator(".badge.bad").count() == 3
    assert page.locator("#page input").count() == 0
    page.keyboard.press("Enter")  # the link to the next page has the focus
    page.wait_for_url("**/pages/2")


@pytest.mark.parametrize(("width", "scheme"), [(820, "dark"), (1280, "light")])
def test_every_page_is_accessible_and_fits_light_and_dark(
    practising: Reviewing, sit_down: Callable[..., Desk], width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    axe, found = Axe(), {}
    desk = sit_down(practising, width, scheme)
    boss = sit_down(practising, width, scheme, seat=None)

    def look(page: Any, name: str) -> None:
        if scheme == "dark" and name not in ("page", "errors", "feedback", "coordinate"):
            return  # the others are made of the same parts and colours
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        # The rules of WCAG 2.2, levels A and AA.
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
        only = {"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]}
        result = axe.run(page, options=only)
        found[name] = [
            (one["id"], [node["html"][:120] for node in one["nodes"]]) for one in result.response["violations"]
        ]

    look(desk.open("/", ".study"), "studies")
    page = desk.open()
    look(page, "page")
    press(page, "e")
    page.wait_for_selector("#error-dialog[open]")
    look(page, "errors")
    for key, dialog in (("s", "skip"), ("p", "pause"), ("?", "help")):
        page.keyboard.press("Escape")
        press(page, key)
        page.wait_for_selector(f"#{dialog}-dialog[open]")
        look(page, dialog)
    page.keyboard.press("Escape")
    press(page, "1" * 7 + DRAFT + "2" + "n")
    page.wait_for_selector(".feedback")
    look(page, "feedback")
    look(desk.open("/studies/pilot/pages/2"), "three drafts")
    look(desk.open("/studies/pilot", ".pages"), "pages")
    look(desk.open("/studies/none", "[role=alert]"), "error")
    look(boss.open("/studies/pilot/coordinate", "table"), "coordinate")
    desk.context.clear_cookies()
    look(desk.open("/login", "[name=name]"), "login")
    look(desk.open(practising.invitation(6), "[name=again]"), "invitation")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_an_invitation_is_followed_to_the_first_page_and_cannot_be_replayed(
    server: Reviewing,
    browser: Any,
    tmp_path: Path,
) -> None:
    path = server.invitation(server.seat())
    for replayed in (False, True):
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url + path)
        if replayed:
            assert "used already" in page.inner_text("[role=alert]")
            assert page.locator("input").count() == 0
        else:
            page.fill("[name=name]", "Dr. Invited")
            page.fill("[name=password]", PASSWORD)
            page.fill("[name=again]", PASSWORD + "!")
            page.keyboard.press("Enter")
            page.wait_for_selector("[role=alert]")
            assert page.input_value("[name=name]") == "Dr. Invited"
            page.fill("[name=password]", PASSWORD)
            page.fill("[name=again]", PASSWORD)
            page.keyboard.press("Enter")
            page.click("text=Begin")
            page.wait_for_selector(".question.at")
        context.close()


def test_an_invitation_for_somebody_else_is_told_and_stays_theirs(
    server: Reviewing, sit_down: Callable[..., Desk]
) -> None:
    path = server.invitation(server.seat())
    page = sit_down(server).open(path, "button.main")
    page.click("button.main")  # "Join as ...", of somebody who has a place already
    page.wait_for_selector("[role=alert]")
    assert "You take part in this study already" in page.inner_text("[role=alert]")
    page.goto(server.url + path)
    assert "You are invited" in page.inner_text("h1")


def test_what_is_judged_is_text_and_never_markup(tmp_path: Path, sit_down: Callable[..., Desk]) -> None:
    with reviewing(tmp_path, reports=1, raters=1, drafts="<b>Bold</b> 🫁 lungs & {{ 7*7 }}.") as one:
        page = sit_down(one).open()
        shown = page.locator(".shown").all_inner_texts()
        assert "<b>Bold</b> 🫁 lungs & {{ 7*7 }}." in shown
        place = shown.index("<b>Bold</b> 🫁 lungs & {{ 7*7 }}.") + 1
        page.click(f'[data-place="{place}"] .add-error')
        page.click("#error-words button >> nth=2")  # a word behind a character of two halves
        page.check("[name=error-kind][value=wordiness]")
        page.check("[name=error-significance][value=insignificant]")
        page.click("#error-add")
        saved(page)
        assert page.inner_text(".shown mark") == "lungs"
