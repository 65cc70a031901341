"""The tables of studies: what was planned never changes, what was answered is only ever added to."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Float, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from radllama.store.tables import Table, UtcTime

_Json = JSON(none_as_null=True)


class StudyRow(Table):
    """A study. `form` is the version that is asked now; `human` the one of `systems` that is the signed impression."""

    __tablename__ = "review_studies"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    seed: Mapped[int] = mapped_column(Integer)
    per_report: Mapped[int] = mapped_column(Integer)
    raters: Mapped[int] = mapped_column(Integer)
    reports: Mapped[int] = mapped_column(Integer)
    repeat_share: Mapped[float] = mapped_column(Float)
    systems: Mapped[list[str]] = mapped_column(_Json)
    human: Mapped[str | None] = mapped_column(String(60))
    form: Mapped[int] = mapped_column(Integer)


class FormRow(Table):
    """A version of a study's form, as YAML."""

    __tablename__ = "review_forms"

    study_id: Mapped[int] = mapped_column(ForeignKey("review_studies.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class ReportRow(Table):
    """A report of a study, or of its calibration set."""

    __tablename__ = "review_reports"
    __table_args__ = (UniqueConstraint("study_id", "calibration", "key"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("review_studies.id"))
    calibration: Mapped[bool] = mapped_column(Boolean)
    key: Mapped[str] = mapped_column(String(200))
    findings: Mapped[str] = mapped_column(Text)
    reference: Mapped[str] = mapped_column(Text)


class CandidateRow(Table):
    """A text to be judged. Only those of the calibration set have `expected` answers, and `why`."""

    __tablename__ = "review_candidates"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("review_reports.id"), index=True)
    system: Mapped[str] = mapped_column(String(60))
    draft: Mapped[str] = mapped_column(Text)
    shown: Mapped[str] = mapped_column(Text)
    expected: Mapped[dict[str, Any] | None] = mapped_column(_Json)
    why: Mapped[str] = mapped_column(Text)


class PageRow(Table):
    """One page of a seat (a rater's place in the design, from 1): a report and its drafts in the order drawn for it.

    `state` is open, done or skipped (with `reason`).
    """

    __tablename__ = "review_pages"
    __table_args__ = (UniqueConstraint("study_id", "seat", "number"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("review_studies.id"))
    seat: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(Integer)
    report_id: Mapped[int] = mapped_column(ForeignKey("review_reports.id"))
    repeat: Mapped[int] = mapped_column(Integer)
    candidates: Mapped[list[int]] = mapped_column(_Json)
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(1000))
    opened_at: Mapped[datetime | None] = mapped_column(UtcTime)
    changed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class AnswerRow(Table):
    """One answer as it was given. The database refuses to change or remove it: a later answer is a later row.

    What holds is the last row of (page, candidate, question, mark); a null `value` takes the answer back. `mark` names
    one of several errors of a draft, else it is empty; `candidate_id` is 0 for what is asked once a page. `save` is the
    browser's name for the act: sent twice, it is kept once.
    """

    __tablename__ = "review_answers"
    __table_args__ = (UniqueConstraint("page_id", "save"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("review_pages.id"))
    candidate_id: Mapped[int] = mapped_column(Integer)
    question: Mapped[str] = mapped_column(String(60))
    mark: Mapped[str] = mapped_column(String(40))
    value: Mapped[Any] = mapped_column(_Json, nullable=True)
    form: Mapped[int] = mapped_column(Integer)
    save: Mapped[str] = mapped_column(String(40))
    at: Mapped[datetime] = mapped_column(UtcTime)


class SpellRow(Table):
    """How long a page was in front of its rater in one go (`spell` is the browser's name for it), pauses left out."""

    __tablename__ = "review_spells"

    page_id: Mapped[int] = mapped_column(ForeignKey("review_pages.id"), primary_key=True)
    spell: Mapped[str] = mapped_column(String(40), primary_key=True)
    seconds: Mapped[float] = mapped_column(Float)


class AccountRow(Table):
    """Somebody who takes part. `password_hash` is argon2's; null where an OpenID provider vouches (`subject`)."""

    __tablename__ = "review_accounts"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    shown_name: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str | None] = mapped_column(String(200))
    subject: Mapped[str | None] = mapped_column(String(500), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class MemberRow(Table):
    """What an account is in a study: a rater with a seat, or a coordinator without one."""

    __tablename__ = "review_members"
    __table_args__ = (UniqueConstraint("study_id", "seat"),)

    account_id: Mapped[str] = mapped_column(ForeignKey("review_accounts.id"), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("review_studies.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    seat: Mapped[int | None] = mapped_column(Integer)
    joined_at: Mapped[datetime] = mapped_column(UtcTime)


class InvitationRow(Table):
    """A link that lets one person in, once, until it expires; the database holds its hash alone."""

    __tablename__ = "review_invitations"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("review_studies.id"))
    role: Mapped[str] = mapped_column(String(20))
    seat: Mapped[int | None] = mapped_column(Integer)
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)
