"""API keys: shown once, kept as a hash, opening only what they were made for, and nothing once revoked."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from radllama.errors import InputError
from radllama.server.keys import LOCAL, SCOPES, create_key, find_caller, hash_token, list_keys, revoke_key
from radllama.store.store import Store


def test_a_token_finds_its_key_with_its_name_and_scopes(store: Store) -> None:
    with store.write() as session:
        key, token = create_key(session, " Reading room 2 ", ["feedback", "draft"])
    with store.read() as session:
        caller = find_caller(session, token)
    assert caller is not None
    assert (caller.id, caller.name) == (key.id, "Reading room 2")
    assert caller.scopes == {"draft", "feedback"}


def test_the_token_stands_nowhere_in_the_database(store: Store) -> None:
    with store.write() as session:
        _, token = create_key(session, "ris")
        rows = session.execute(text("SELECT * FROM api_keys")).all()
    assert len(rows) == 1
    assert token not in str(rows)
    assert token.rsplit("-", 1)[1] not in str(rows)
    assert hash_token(token) in str(rows)


def test_tokens_differ_and_hold_256_random_bits(store: Store) -> None:
    with store.write() as session:
        tokens = [create_key(session, f"key {number}")[1] for number in range(20)]
    assert len(set(tokens)) == 20
    assert all(len(token.split("-", 2)[2]) == 43 for token in tokens)  # 32 bytes in base64


@pytest.mark.parametrize("change", [str.upper, lambda token: token[:-1], lambda token: token + " ", lambda _: ""])
def test_a_token_that_differs_in_anything_is_nobodys(store: Store, change: Callable[[str], str]) -> None:
    with store.write() as session:
        _, token = create_key(session, "ris")
    with store.read() as session:
        assert find_caller(session, change(token)) is None


def test_bytes_that_are_no_text_are_nobodys_token(store: Store) -> None:
    with store.read() as session:
        assert find_caller(session, b"\xff".decode("utf-8", "surrogateescape")) is None


def test_a_revoked_key_opens_nothing_and_stays_in_the_list(store: Store) -> None:
    with store.write() as session:
        key, token = create_key(session, "ris")
    with store.write() as session:
        assert revoke_key(session, "ris").id == key.id
    with store.read() as session:
        assert find_caller(session, token) is None
        assert [(one.name, one.revoked_at is None) for one in list_keys(session)] == [("ris", False)]
    with store.write() as session, pytest.raises(InputError, match="'ris' was revoked already"):
        revoke_key(session, key.id)


def test_without_any_key_whoever_is_on_this_machine_may_do_all(store: Store) -> None:
    with store.read() as session:
        assert find_caller(session, None) is LOCAL
    assert LOCAL.scopes == SCOPES.keys()


def test_once_there_was_a_key_nobody_comes_in_without_one(store: Store) -> None:
    with store.write() as session:
        create_key(session, "ris")
        assert find_caller(session, None) is None
        revoke_key(session, "ris")
        assert find_caller(session, None) is None


def test_a_name_is_given_once(store: Store) -> None:
    with store.write() as session:
        create_key(session, "ris")
        revoke_key(session, "ris")
        with pytest.raises(InputError, match="'ris' exists already, in use or revoked"):
            create_key(session, "ris")


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\nb", "<b>", "a;b"])
def test_what_is_no_name_is_refused(store: Store, name: str) -> None:
    with store.write() as session, pytest.raises(InputError, match="key name"):
        create_key(session, name)


def test_a_scope_that_is_none_is_refused_with_those_there_are(store: Store) -> None:
    with store.write() as session, pytest.raises(InputError, match="no scope root; there are draft, feedback"):
        create_key(session, "ris", ["draft", "root"])
    with store.write() as session, pytest.raises(InputError, match="at least one scope"):
        create_key(session, "ris", [])


def test_a_key_that_is_not_there_cannot_be_revoked(store: Store) -> None:
    with store.write() as session, pytest.raises(InputError, match="no key 'pacs'; `radllama keys list`"):
        revoke_key(session, "pacs")
