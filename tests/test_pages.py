"""The pages in a real browser: drafted, read, judged by keys alone; no word comes from elsewhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from browsers import CHROMIUM
from servers import Running, running

from radllama.drafting.draft import Drafter
from radllama.drafting.election import Voting
from radllama.drafting.voting import VotingDrafter
from radllama.engines import Completion, Sampling
from radllama.library import Library
from radllama.prompt import make_prompt
from radllama.report import Report
from radllama.server.assistant import Assistant
from radllama.server.feedback import VerdictRow
from radllama.server.pool import Spec

FINDINGS = "Heart size is normal. Small left pleural effusion 🫁. No pneumothorax."
DRAFT = "Small right pleural effusion. <b>No acute disease.</b>"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")


class Writing:
    """An engine that writes one impression, word by word, and another as its other samples."""

    name, context_tokens = "writing", 1000

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split())

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        texts = [DRAFT, *["Small left pleural effusion."] * (sampling.samples - 1)]
        return [[Completion(text, "stop") for text in texts] for _ in prompts]

    def stream(self, prompt: str, sampling: Sampling) -> Iterator[str]:
        first, *rest = DRAFT.split(" ")
        yield first
        yield from (f" {word}" for word in rest)


def load_writing(with_library: bool) -> Assistant:
    """What a worker loads."""
    said = ["Left effusion of before.", DRAFT, DRAFT]
    prior = [Report(str(at), None, "Small left pleural effusion.", text) for at, text in enumerate(said)]
    drafter = Drafter(Writing(), make_prompt("plain"), "writing")
    if not with_library:
        return Assistant(drafter)
    # Without checks: what is flagged must be seen on the page.
    return Assistant(VotingDrafter(drafter, Voting(checks=False), Library.build(prior), "lib@1", None), samples=4)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home"), Spec(load_writing, (True,))) as one:
        yield one


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    """The drafting page; nothing may be fetched from elsewhere and nothing may go wrong in its console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
    opened.on("request", lambda asked: None if asked.url.startswith(server.url) else wrong.append(asked.url))
    opened.goto(server.url)
    opened.wait_for_selector("#model:not(:empty)")
    yield opened
    context.close()
    assert wrong == []


def _is_wrong(message: Any) -> bool:
    # That the server refused a request is told on the page; the browser notes it too.
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def draft(page: Any, count: str = "1") -> None:
    page.fill("#findings", FINDINGS)
    page.select_option("#count", count)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#acts:not([hidden])")


def verdict_of(server: Running) -> VerdictRow:
    """The newest one."""
    with server.store.read() as session:
        row = session.query(VerdictRow).order_by(VerdictRow.at.desc()).first()
    assert row is not None
    return row


def test_a_draft_is_accepted_by_keys_alone_and_by_name(page: Any, server: Running) -> None:
    assert page.evaluate("document.activeElement.id") == "findings"
    draft(page)
    assert page.inner_text("#impression") == DRAFT  # as text: what a model writes is never markup
    page.keyboard.press("a")
    assert "Give your name first" in page.inner_text("#said")
    assert page.evaluate("document.activeElement.id") == "person"
    page.keyboard.type("Dr. Who")
    page.locator("#impression-title").focus()
    page.keyboard.press("a")
    page.wait_for_selector(".badge.done")
    assert page.inner_text("#state") == "accepted by Dr. Who"
    row = verdict_of(server)
    assert (row.verdict, row.person, row.impression, row.edit_distance) == ("accepted", "Dr. Who", DRAFT, 0)
    assert page.locator("#accept").is_disabled()


def test_a_sentence_lights_up_the_findings_it_rests_on(page: Any) -> None:
    draft(page)
    sentence = page.locator(".sentence").first
    sentence.focus()
    lit = page.locator("#shown-findings .on").all_inner_texts()
    assert "".join(lit).strip() == "Small left pleural effusion 🫁."
    assert "Rests on: Small left pleural effusion" in sentence.get_attribute("aria-label")
    assert page.inner_text("#voices") == "Said word for word by 1 of 4 samples, 2 similar reports."
    assert page.inner_text("#way").startswith("4 samples of the model and the 30 most similar of 3 prior reports vote")
    page.locator("#impression-title").focus()
    assert page.locator("#shown-findings .on").count() == 0


def test_a_flag_stands_beside_the_draft_and_lights_up_what_it_concerns(page: Any) -> None:
    draft(page)
    flag = page.locator("#flags li").first
    assert "side" in flag.inner_text()
    flag.focus()
    assert page.locator("#impression .on").count() > 0
    assert page.locator("#shown-findings .on").count() > 0
    assert page.locator("#impression .flagged").count() > 0


def test_an_edited_draft_is_signed_by_one_key_and_counted(page: Any, server: Running) -> None:
    page.fill("#person", "Dr. Who")
    draft(page)
    page.keyboard.press("e")
    assert page.input_value("#edited") == DRAFT
    page.fill("#edited", "Small left pleural effusion.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".badge.done")
    assert page.inner_text("#impression") == "Small left pleural effusion."
    row = verdict_of(server)
    assert (row.verdict, row.impression) == ("edited", "Small left pleural effusion.")
    assert row.edit_distance == 4


def test_a_rejection_takes_two_keys_and_has_a_reason(page: Any, server: Running) -> None:
    page.fill("#person", "Dr. Who")
    draft(page)
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    assert page.inner_text("#state") == "draft"
    page.keyboard.press("r")
    page.keyboard.press("2")
    page.wait_for_selector(".badge.bad")
    row = verdict_of(server)
    assert (row.verdict, row.reason, row.impression) == ("rejected", "omitted", None)


def test_another_draft_is_chosen_by_its_number(page: Any, server: Running) -> None:
    page.fill("#person", "Dr. Who")
    draft(page, "3")
    page.keyboard.press("1")
    assert page.inner_text("#impression") == "Small left pleural effusion."
    assert page.locator("#flags li").count() == 0
    page.keyboard.press("a")
    page.wait_for_selector(".badge.done")
    assert verdict_of(server).impression == "Small left pleural effusion."


def test_similar_reports_are_one_key_away(page: Any) -> None:
    draft(page)
    assert page.locator("#neighbours-part").is_hidden()
    page.keyboard.press("n")
    assert "Left effusion of before." in page.inner_text("#neighbours")


def test_escape_leads_back_to_the_findings(page: Any) -> None:
    draft(page)
    page.keyboard.press("Escape")
    assert page.input_value("#findings") == FINDINGS
    assert page.evaluate("document.activeElement.id") == "findings"
    assert page.locator("#acts").is_hidden()


def test_an_error_is_told_and_the_findings_stay(page: Any) -> None:
    page.fill("#findings", "...")
    page.keyboard.press("Control+Enter")
    page.locator("#said:not(:empty)").wait_for()
    page.wait_for_selector(".badge.bad")
    assert "hold no words" in page.inner_text("#said")
    assert page.input_value("#findings") == "..."


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [820, 1280])
def test_nothing_stands_outside_the_page_and_everything_can_be_read(
    browser: Any, server: Running, scheme: str, width: int
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("#model:not(:empty)")
    draft(page, "3")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea')].filter(one =>"
        " !(one.labels?.length || one.ariaLabel || one.getAttribute('aria-labelledby') || one.textContent.trim()))"
        ".map(one => one.id)"
    )
    assert unnamed == []
    context.close()


def test_without_a_library_no_similar_reports_are_offered(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path, Spec(load_writing, (False,))) as bare:
        page = browser.new_page()
        page.goto(bare.url)
        page.wait_for_selector("#model:not(:empty)")
        draft(page)
        assert page.locator("#show-neighbours").is_hidden()
        page.close()


def test_with_keys_the_page_asks_for_one_and_goes_on(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path, Spec(load_writing, (False,))) as locked:
        token = locked.key("room")["Authorization"].removeprefix("Bearer ")
        page = browser.new_page()
        page.goto(locked.url)
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key", token)
        page.keyboard.press("Enter")
        page.wait_for_selector("#model:not(:empty)")
        draft(page)
        assert token not in page.url
        page.close()


def test_the_other_pages_show_days_and_paths(browser: Any, server: Running) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/drift")
    page.wait_for_selector("#charts svg")
    assert page.locator("#charts figure").count() == 4
    assert page.locator("#days tbody tr").count() >= 1
    page.goto(f"{server.url}/docs")
    assert "/v1/impressions" in page.inner_text("main")
    page.close()
