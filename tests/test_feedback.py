"""Feedback: kept once a draft, counted in words, exported as a dataset, shown by day."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from radllama.errors import InputError
from radllama.files import read_json, read_jsonl
from radllama.server.feedback import (
    DecidedError,
    Decision,
    DraftRow,
    VerdictRow,
    decide,
    drift,
    export_feedback,
    remove_before,
)
from radllama.store.store import Store
from radllama.text import count_edits

MONDAY = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


def draft(number: int, made_at: datetime = MONDAY, **values: Any) -> DraftRow:
    return DraftRow(
        **{
            "id": f"imp-{number}",
            "made_at": made_at,
            "caller": "key1",
            "findings": f"Small left pleural effusion, {number} cm. Heart size is normal.",
            "indication": "Cough.",
            "comparison": "",
            "technique": "",
            "impressions": ["Small left effusion.", "Left effusion."],
            "flags": [],
            "style": "house",
            "model": "mini@1",
            "prompt": "plain@1",
            "weights_sha256": "0" * 64,
            "latency_ms": 10.0,
            **values,
        }
    )


def keep(store: Store, number: int, decision: Decision) -> VerdictRow:
    with store.write() as session:
        return decide(session, f"imp-{number}", decision, "key1")


@pytest.fixture
def four(store: Store) -> Store:
    """Drafts 1 to 4."""
    with store.write() as session:
        session.add_all(draft(number) for number in range(1, 5))
    return store


ACCEPTED = Decision("accepted", "Dr. Who")
EDITED = Decision("edited", "Dr. Who", impression="Small left effusion, unchanged.", seconds=12.5)
REJECTED = Decision("rejected", "Dr. Who", reason="omitted", note="the heart")


def test_an_accepted_draft_is_signed_as_it_was(four: Store) -> None:
    row = keep(four, 1, ACCEPTED)
    assert (row.verdict, row.person, row.impression, row.edit_distance) == (
        "accepted",
        "Dr. Who",
        "Small left effusion.",
        0,
    )


def test_an_alternative_can_be_accepted_or_edited(four: Store) -> None:
    assert keep(four, 1, Decision("accepted", "A", choice=1)).impression == "Left effusion."
    assert (
        keep(four, 2, Decision("edited", "A", choice=1, impression="Left effusion. Normal heart.")).edit_distance == 2
    )
    with pytest.raises(InputError, match="has 2 impressions, numbered from 0"):
        keep(four, 3, Decision("accepted", "A", choice=2))


def test_an_edited_draft_keeps_its_words_and_how_many_changed(four: Store) -> None:
    row = keep(four, 1, EDITED)
    assert (row.impression, row.edit_distance, row.seconds) == ("Small left effusion, unchanged.", 2, 12.5)


def test_a_rejected_draft_keeps_its_reason_and_no_text(four: Store) -> None:
    row = keep(four, 1, REJECTED)
    assert (row.impression, row.edit_distance, row.reason, row.note) == (None, None, "omitted", "the heart")


def test_the_same_decision_twice_is_one_and_another_is_refused(four: Store) -> None:
    first = keep(four, 1, ACCEPTED)
    assert keep(four, 1, ACCEPTED).at == first.at
    for other in (EDITED, REJECTED, Decision("accepted", "Dr. Else"), Decision("accepted", "Dr. Who", choice=1)):
        with pytest.raises(DecidedError):
            keep(four, 1, other)
    with four.read() as session:
        assert session.get_one(VerdictRow, "imp-1").verdict == "accepted"


def test_a_draft_that_is_not_there_cannot_be_judged(four: Store) -> None:
    with pytest.raises(InputError, match="no such draft"):
        keep(four, 9, ACCEPTED)


def test_the_database_itself_knows_that_a_verdict_needs_its_draft(store: Store) -> None:
    row = VerdictRow(draft_id="none", at=MONDAY, person="A", caller="k", verdict="accepted", note="")
    with pytest.raises(IntegrityError), store.write() as session:
        session.add(row)


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("", "a b", 2),
        ("a b", "", 2),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b", "b a", 2),
        ("no effusion", "No effusion", 1),
        ("a  b\nc", "a b c", 0),
    ],
)
def test_edits_are_counted_in_words(before: str, after: str, edits: int) -> None:
    assert count_edits(before, after) == count_edits(after, before) == edits


def test_what_was_signed_becomes_a_dataset(four: Store, tmp_path: Path) -> None:
    keep(four, 1, ACCEPTED)
    keep(four, 2, EDITED)
    keep(four, 3, REJECTED)
    card = export_feedback(four, tmp_path / "data")
    rows = [row for part in ("train", "valid", "test") for row in _rows(tmp_path / "data" / f"{part}.jsonl")]
    assert {row["id"]: row["impression"] for row in rows} == {
        "imp-1": "Small left effusion.",
        "imp-2": "Small left effusion, unchanged.",
    }
    assert all(row["findings"].startswith("Small left pleural effusion") for row in rows)
    assert {row["indication"] for row in rows} == {"Cough."}
    assert read_json(tmp_path / "data" / "dataset.json") == card


def _rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)] if path.exists() else []


def test_an_export_can_begin_at_a_day_or_hold_edits_alone(four: Store, tmp_path: Path) -> None:
    keep(four, 1, ACCEPTED)
    with pytest.raises(InputError, match="nothing was accepted or edited"):
        export_feedback(four, tmp_path / "edited", edited_only=True)
    with pytest.raises(InputError, match="no feedback to export"):
        export_feedback(four, tmp_path / "later", since=datetime(2100, 1, 1, tzinfo=timezone.utc))
    assert not (tmp_path / "edited").exists()


def test_days_say_how_many_were_taken_and_how_much_was_changed(store: Store) -> None:
    with store.write() as session:
        session.add_all(draft(number) for number in range(1, 5))
        session.add(draft(5, MONDAY + timedelta(days=1), flags=["side", "omitted"]))
        session.add(draft(6, MONDAY - timedelta(days=30)))
    keep(store, 1, ACCEPTED)
    keep(store, 2, EDITED)
    keep(store, 3, REJECTED)
    with store.read() as session:
        monday, tuesday = drift(session, MONDAY - timedelta(days=1))
    assert monday.to_json() == {
        "day": "2026-03-02",
        "drafts": 4,
        "accepted": 1,
        "edited": 1,
        "rejected": 1,
        "edits": 1.0,
        "flags": 0.0,
    }
    assert (tuesday.day, tuesday.drafts, tuesday.accepted, tuesday.flags) == ("2026-03-03", 1, 0, 2.0)


def test_what_is_old_is_removed_with_its_verdicts(store: Store) -> None:
    with store.write() as session:
        session.add_all([draft(1), draft(2, MONDAY + timedelta(days=2))])
    keep(store, 1, ACCEPTED)
    keep(store, 2, ACCEPTED)
    with store.write() as session:
        assert remove_before(session, MONDAY + timedelta(days=1)) == 1
    with store.read() as session:
        assert session.get(DraftRow, "imp-1") is None
        assert session.get(VerdictRow, "imp-1") is None
        assert session.get_one(VerdictRow, "imp-2").impression == "Small left effusion."
