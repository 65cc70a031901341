"""Who takes part: accounts with a password or an OpenID provider, and invitations that let one person in, once."""

import hashlib
import re
import secrets
import unicodedata
from datetime import timedelta
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from radllama.errors import InputError
from radllama.review.tables import AccountRow, InvitationRow, MemberRow, StudyRow
from radllama.store.tables import now
from radllama.text import is_unicode

ROLES = {"rater": "judges drafts", "coordinator": "invites raters, follows progress, closes the study"}
INVITATION_HOURS = 14 * 24.0
PASSWORD_CHARACTERS = (10, 200)
_NAME = re.compile(r"[\w][\w .@+'-]{0,99}")
_TOKEN_BYTES = 32
_hasher = PasswordHasher()
# Each hash takes 64 MiB and a core: a rush of sign-ins waits rather than exhausting the machine.
_at_once = BoundedSemaphore(4)
# Checked where there is no such account, so that the time an answer takes does not tell who has one.
_nobody: list[str] = []


def hash_password(password: str) -> str:
    """What is kept of a password: argon2id's hash. Raises InputError for one that is too short or too long."""
    low, high = PASSWORD_CHARACTERS
    if not low <= len(password) <= high or not is_unicode(password):
        raise InputError(f"a password has {low} to {high} characters; a few words make a good one")
    with _at_once:
        return _hasher.hash(unicodedata.normalize("NFKC", password))


def renew_password(session: Session, name: str, password_hash: str) -> AccountRow:
    """Give an account another password. Raises InputError where there is no such account, or it has none."""
    account = find_account(session, name)
    if account is None:
        raise InputError(f"no account {name!r}; `radllama review status` shows the names")
    if account.subject is not None:
        raise InputError(f"{account.shown_name} signs in at the hospital's OpenID provider, and has no password here")
    account.password_hash = password_hash
    return account


def check_password(account: AccountRow | None, password: str) -> bool:
    """Whether it is the account's password; takes its time for an account that is none, too."""
    with _at_once:
        if not _nobody:
            _nobody.append(_hasher.hash(secrets.token_hex(16)))
        kept = account.password_hash if account is not None else None
        try:
            _hasher.verify(kept or _nobody[0], unicodedata.normalize("NFKC", password))
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False
        return kept is not None


def fold_name(name: str) -> str:
    """Under which form a name is unique."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def find_account(session: Session, name: str) -> AccountRow | None:
    """The account of that name, however it is capitalised."""
    if not is_unicode(name) or "\0" in name or len(name) > 200:
        return None
    return session.scalar(select(AccountRow).where(AccountRow.name == fold_name(name)))


def create_account(
    session: Session, name: str, password_hash: str | None = None, subject: str | None = None
) -> AccountRow:
    """A new account. Raises InputError for a name that is taken or none."""
    shown = " ".join(name.split())
    if not is_unicode(name) or not _NAME.fullmatch(shown):
        raise InputError("a name has 1 to 100 letters, digits, spaces, or any of . @ + ' - _")
    if find_account(session, shown):
        raise InputError("this name is taken; if it is yours, sign in first, and then follow the invitation again")
    account = AccountRow(
        id=secrets.token_hex(8),
        name=fold_name(shown),
        shown_name=shown,
        password_hash=password_hash,
        subject=subject,
        created_at=now(),
    )
    session.add(account)
    session.flush()
    return account


def invite(session: Session, study: StudyRow, seat: int | None, hours: float = INVITATION_HOURS) -> str:
    """The token of an invitation: to a rater's seat, or (None) to coordinate.

    It takes the place of an earlier one to the seat. Raises InputError for a seat that is taken or none, or a closed
    study.
    """
    if study.closed_at is not None:
        raise InputError(f"study {study.name!r} is closed; it takes nobody in")
    if seat is not None:
        if not 1 <= seat <= study.raters:
            raise InputError(
                f"study {study.name!r} has raters 1 to {study.raters}, as it was designed; there is no {seat}"
            )
        if seat in taken_seats(session, study):
            raise InputError(f"rater-{seat} of study {study.name!r} has joined already")
        for earlier in _live_invitations(session, study, seat):
            earlier.revoked_at = now()
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    session.add(
        InvitationRow(
            token_hash=_hash(token),
            study_id=study.id,
            role="coordinator" if seat is None else "rater",
            seat=seat,
            made_at=now(),
            expires_at=now() + timedelta(hours=hours),
        )
    )
    session.flush()
    return token


def taken_seats(session: Session, study: StudyRow) -> set[int]:
    """The seats that somebody has joined."""
    seats = session.scalars(select(MemberRow.seat).where(MemberRow.study_id == study.id))
    return {seat for seat in seats if seat is not None}


def open_seats(session: Session, study: StudyRow) -> list[int]:
    """The seats that nobody has joined and no invitation in force waits for."""
    taken = taken_seats(session, study)
    return [
        seat for seat in range(1, study.raters + 1) if seat not in taken and not _live_invitations(session, study, seat)
    ]


def _live_invitations(session: Session, study: StudyRow, seat: int) -> list[InvitationRow]:
    rows = session.scalars(select(InvitationRow).where(InvitationRow.study_id == study.id, InvitationRow.seat == seat))
    return [row for row in rows if row.used_at is None and row.revoked_at is None and row.expires_at > now()]


def read_invitation(session: Session, token: str) -> tuple[InvitationRow, StudyRow]:
    """The invitation of a token, and its study. Raises InputError for one that lets nobody in (any more)."""
    row = session.get(InvitationRow, _hash(token))
    if row is None:
        raise InputError("this invitation is none of ours; copy the whole link, or ask the coordinator for a new one")
    if row.used_at is not None:
        raise InputError("this invitation was used already; if it was you, sign in; else tell the coordinator")
    if row.revoked_at is not None or row.expires_at <= now():
        raise InputError("this invitation is not in force any more; ask the coordinator for a new one")
    study = session.get_one(StudyRow, row.study_id)
    if study.closed_at is not None:
        raise InputError("the study of this invitation is closed; it takes nobody in")
    return row, study


def accept(session: Session, token: str, account: AccountRow) -> MemberRow:
    """Join a study, which uses the invitation up. Raises InputError as `read_invitation`, or for who is in already."""
    row, study = read_invitation(session, token)
    if session.get(MemberRow, (account.id, study.id)):
        raise InputError("you take part in this study already; this invitation is for somebody else")
    member = MemberRow(account_id=account.id, study_id=study.id, role=row.role, seat=row.seat, joined_at=now())
    session.add(member)
    row.used_at = now()
    session.flush()
    return member


def memberships(session: Session, account_id: str) -> list[tuple[MemberRow, StudyRow]]:
    """What an account takes part in, newest first."""
    rows = session.execute(
        select(MemberRow, StudyRow)
        .join(StudyRow, StudyRow.id == MemberRow.study_id)
        .where(MemberRow.account_id == account_id)
        .order_by(StudyRow.id.desc())
    )
    return [(row[0], row[1]) for row in rows]


def find_membership(session: Session, account_id: str, study: str) -> tuple[MemberRow, StudyRow] | None:
    """What an account is in a study, by the study's name."""
    mine = (one for one in memberships(session, account_id) if one[1].name == study)
    return next(mine, None)


def _hash(token: str) -> str:
    # 256 random bits need no slow hash (see server.keys.hash_token).
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
