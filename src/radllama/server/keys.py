"""API keys: named, scoped, revocable; the database holds a hash of each and nothing that could be sent."""

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from radllama.errors import InputError
from radllama.store.tables import Table, UtcTime, now

SCOPES = {
    "draft": "draft impressions, and use the OpenAI-compatible paths",
    "feedback": "accept, edit and reject drafts, and see the drift page",
    "metrics": "read /metrics",
}
_NAME = re.compile(r"[\w .@+-]{1,100}")
_PREFIX = "radllama"
_TOKEN_BYTES = 32


class ApiKey(Table):
    """One key as the database knows it."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request comes from: a key's id and name, and what it may do; `person` is the name of one who signed in."""

    id: str
    name: str
    scopes: frozenset[str]
    person: str | None = None


# Who calls while no key exists: somebody on this machine.
LOCAL = Caller("local", "local", frozenset(SCOPES))


def create_key(session: Session, name: str, scopes: Collection[str] = ("draft", "feedback")) -> tuple[ApiKey, str]:
    """A new key, and the token that its holder sends. The token is known here and never again.

    Raises InputError for a name that is taken or no name, and a scope that is none.
    """
    if not _NAME.fullmatch(name.strip()):
        raise InputError(f"key name {name!r}: expected 1 to 100 letters, digits, spaces, or any of . @ + - _")
    if unknown := sorted(set(scopes) - SCOPES.keys()):
        raise InputError(f"no scope {', '.join(unknown)}; there are {', '.join(SCOPES)}")
    if not scopes:
        raise InputError("a key needs at least one scope")
    if session.scalar(select(ApiKey).where(ApiKey.name == name.strip())):
        raise InputError(f"a key named {name.strip()!r} exists already, in use or revoked; choose another name")
    identity = secrets.token_hex(4)
    token = f"{_PREFIX}-{identity}-{secrets.token_urlsafe(_TOKEN_BYTES)}"
    key = ApiKey(
        id=identity,
        name=name.strip(),
        token_hash=hash_token(token),
        scopes=" ".join(scope for scope in SCOPES if scope in scopes),
        created_at=now(),
    )
    session.add(key)
    session.flush()
    return key, token


def list_keys(session: Session) -> list[ApiKey]:
    """Every key that was ever made, oldest first, the revoked ones too."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)))


def revoke_key(session: Session, name_or_id: str) -> ApiKey:
    """Revoke a key from now on. Raises InputError when there is none, or it is revoked already."""
    key = session.scalar(select(ApiKey).where((ApiKey.name == name_or_id) | (ApiKey.id == name_or_id)))
    if key is None:
        raise InputError(f"no key {name_or_id!r}; `radllama keys list` shows them")
    if key.revoked_at is not None:
        raise InputError(f"key {key.name!r} was revoked already, on {key.revoked_at:%Y-%m-%d}")
    key.revoked_at = now()
    return key


def find_caller(session: Session, token: str | None) -> Caller | None:
    """Who sent this token; None for nobody. Without any key in the database everyone is LOCAL.

    A key that was revoked still counts as one that exists: revoking the last one opens no door.
    """
    if token is None:
        return LOCAL if session.scalar(select(ApiKey.id).limit(1)) is None else None
    key = session.scalar(select(ApiKey).where(ApiKey.token_hash == hash_token(token)))
    if key is None or key.revoked_at is not None:
        return None
    return Caller(key.id, key.name, frozenset(key.scopes.split()))


def hash_token(token: str) -> str:
    """What is kept of a token: its SHA-256.

    A slow password hash (argon2) protects what people choose, because that can be guessed. A token has 256 random
    bits: no guess hits it, however fast the hash, and a slow one would cost every request what it costs a thief.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
