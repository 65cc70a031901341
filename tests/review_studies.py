"""Small studies for tests: written to files, planned, made, answered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radllama.files import write_jsonl
from radllama.review.answers import Save, finish_page, keep_answer
from radllama.review.book import Held, find_page
from radllama.review.design import make_design
from radllama.review.form import Form, read_form
from radllama.review.material import gather, read_calibration
from radllama.review.studies import create_study, find_study
from radllama.review.tables import PageRow, StudyRow
from radllama.server.audit import AuditLog

FORM = read_form()
SIDES = ("left", "right")


def write_material(folder: Path, reports: int = 6, drafts: str = "") -> list[str]:
    """Reports and two systems' drafts in `folder`; returns the options of `review create` that name them."""
    write_jsonl(
        folder / "test.jsonl",
        (
            {
                "id": f"r{n}",
                "findings": f"Heart size is normal. Small {SIDES[n % 2]} effusion, {n} mm.",
                "impression": f"Small {SIDES[n % 2]} effusion.",
            }
            for n in range(reports)
        ),
    )
    write_jsonl(folder / "a.jsonl", ({"id": f"r{n}", "draft": f"1. {SIDES[n % 2]} effusion"} for n in range(reports)))
    write_jsonl(
        folder / "b.jsonl", ({"id": f"r{n}", "draft": drafts or f"Effusion of {n} mm."} for n in range(reports))
    )
    return [
        "--reports", str(folder / "test.jsonl"), "--system", f"ours={folder}/a.jsonl", "--system",
        f"theirs={folder}/b.jsonl", "--human-reference",
    ]  # fmt: skip


def make_study(
    audit: AuditLog, folder: Path, name: str = "pilot", reports: int = 6, raters: int = 2, calibration: bool = False,
    repeat_share: float = 0.0, form: Form = FORM, drafts: str = "",
) -> None:  # fmt: skip
    """A study of three candidates a report in the audit log's store."""
    write_material(folder, reports, drafts)
    systems = {"ours": folder / "a.jsonl", "theirs": folder / "b.jsonl"}
    material = gather(folder / "test.jsonl", systems, human_reference=True)
    first = read_calibration(None, form)[:1] if calibration else []
    design = make_design(reports, 3, raters, repeat_share=repeat_share, seed=1)
    with audit.transaction() as (session, _):
        create_study(session, name, "", material, first, design, form)


class Rater:
    """Somebody who answers without a browser."""

    def __init__(self, audit: AuditLog, seat: int, study: str = "pilot", form: Form = FORM) -> None:
        self._audit, self.seat, self._study, self._form = audit, seat, study, form
        self._saves = 0

    def on(self, number: int, act: Callable[[Session, Any, StudyRow, PageRow], Any]) -> Any:
        """Do something with a page, in a transaction."""
        with self._audit.transaction() as (session, log):
            study = find_study(session, self._study)
            page = find_page(session, study, self.seat, number)
            assert page is not None
            return act(session, log, study, page)

    def drafts(self, number: int) -> list[int]:
        return list(self.on(number, lambda session, log, study, page: page.candidates))

    def answer(
        self, number: int, place: int | None, question: str, value: Any, mark: str = "", base: int = 0,
        save: str | None = None,
    ) -> Held:  # fmt: skip
        """Answer about the draft in this place of the page (None: about the page)."""
        self._saves += 1
        name = save or f"s{self.seat}-{self._saves}"

        def act(session: Session, log: Any, study: StudyRow, page: PageRow) -> Held:
            candidate = 0 if place is None else page.candidates[place]
            sent = Save(name, candidate, question, mark, value, base)
            return keep_answer(session, log, self._audit, "test", study, self._form, page, sent)

        held: Held = self.on(number, act)
        return held

    def fill(self, number: int, value: int = 4) -> None:
        """Answer everything that a page requires, and finish it."""
        drafts = self.drafts(number)
        for place in range(len(drafts)):
            for item in self._form.items:
                if item.kind == "scale":
                    self.answer(number, place, item.name, value)
                elif item.kind == "choice":
                    self.answer(number, place, item.name, next(iter(item.anchors)))
        if len(drafts) > 1:
            self.answer(number, None, "preference", {str(one): at for at, one in enumerate(drafts, start=1)})
        self.on(number, lambda session, log, study, page: finish_page(session, log, "test", study, self._form, page))


def pages_of(session: Session, seat: int) -> list[PageRow]:
    return list(session.scalars(select(PageRow).where(PageRow.seat == seat).order_by(PageRow.number)))
