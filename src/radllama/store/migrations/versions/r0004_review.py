"""Studies: what is judged, by whom, and every answer."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables, and have the database itself refuse to change or remove an answer."""
    _make_plan()
    _make_answers()
    _make_people()


def _make_plan() -> None:
    op.create_table(
        "review_studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("closed_at", _MOMENT, nullable=True),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("per_report", sa.Integer(), nullable=False),
        sa.Column("raters", sa.Integer(), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("repeat_share", sa.Float(), nullable=False),
        sa.Column("systems", sa.JSON(), nullable=False),
        sa.Column("human", sa.String(60), nullable=True),
        sa.Column("form", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_studies"),
        sa.UniqueConstraint("name", name="uq_review_studies_name"),
    )
    op.create_table(
        "review_forms",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "version", name="pk_review_forms"),
        _refers("review_forms", "study_id", "review_studies"),
    )
    op.create_table(
        "review_reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("calibration", sa.Boolean(), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_reports"),
        sa.UniqueConstraint("study_id", "calibration", "key", name="uq_review_reports_study_id"),
        _refers("review_reports", "study_id", "review_studies"),
    )
    op.create_table(
        "review_candidates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("system", sa.String(60), nullable=False),
        sa.Column("draft", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("expected", sa.JSON(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_candidates"),
        _refers("review_candidates", "report_id", "review_reports"),
    )
    op.create_index("ix_review_candidates_report_id", "review_candidates", ["report_id"])
    op.create_table(
        "review_pages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("candidates", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=True),
        sa.Column("changed_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_review_pages"),
        sa.UniqueConstraint("study_id", "seat", "number", name="uq_review_pages_study_id"),
        _refers("review_pages", "study_id", "review_studies"),
        _refers("review_pages", "report_id", "review_reports"),
    )


def _make_answers() -> None:
    op.create_table(
        "review_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("page_id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(60), nullable=False),
        sa.Column("mark", sa.String(40), nullable=False),
        sa.Column("value", sa.JSON(), nullable=True),
        sa.Column("form", sa.Integer(), nullable=False),
        sa.Column("save", sa.String(40), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_answers"),
        sa.UniqueConstraint("page_id", "save", name="uq_review_answers_page_id"),
        _refers("review_answers", "page_id", "review_pages"),
    )
    # Against mistakes. Against intent there is the audit log, which holds a keyed hash of every answer.
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER review_answers_no_{act.lower()} BEFORE {act} ON review_answers "
                "BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION refuse_answer_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'answers are append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER review_answers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON review_answers "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_answer_change()"
        )
    op.create_table(
        "review_spells",
        sa.Column("page_id", sa.Integer(), nullable=False),
        sa.Column("spell", sa.String(40), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("page_id", "spell", name="pk_review_spells"),
        _refers("review_spells", "page_id", "review_pages"),
    )


def _make_people() -> None:
    op.create_table(
        "review_accounts",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("shown_name", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=True),
        sa.Column("subject", sa.String(500), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_accounts"),
        sa.UniqueConstraint("name", name="uq_review_accounts_name"),
        sa.UniqueConstraint("subject", name="uq_review_accounts_subject"),
    )
    op.create_table(
        "review_members",
        sa.Column("account_id", sa.String(16), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=True),
        sa.Column("joined_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "study_id", name="pk_review_members"),
        sa.UniqueConstraint("study_id", "seat", name="uq_review_members_study_id"),
        _refers("review_members", "account_id", "review_accounts"),
        _refers("review_members", "study_id", "review_studies"),
    )
    op.create_table(
        "review_invitations",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=True),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("used_at", _MOMENT, nullable=True),
        sa.Column("revoked_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name="pk_review_invitations"),
        _refers("review_invitations", "study_id", "review_studies"),
    )


def _refers(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}_{other}")
