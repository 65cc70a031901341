"""RADLLAMA_HOME: one folder, one secret, for its owner alone."""

import stat
import threading
from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.home import find_home, load_secret


def test_the_named_folder_is_made_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADLLAMA_HOME", str(tmp_path / "state" / "radllama"))
    assert find_home() == tmp_path / "state" / "radllama"
    assert stat.S_IMODE(find_home().stat().st_mode) == 0o700


def test_without_a_name_it_is_the_platforms_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADLLAMA_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_home().is_relative_to(tmp_path)
    assert find_home().name == "radllama"


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    secret = load_secret(tmp_path)
    assert len(secret) == 32
    assert load_secret(tmp_path) == secret
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    assert load_secret(tmp_path / ".." / tmp_path.name) == secret


def test_two_homes_have_two_secrets(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load_secret(tmp_path / "a") != load_secret(tmp_path / "b")


def test_those_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    secrets: list[bytes] = []
    threads = [threading.Thread(target=lambda: secrets.append(load_secret(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(secrets) == 8
    assert len(set(secrets)) == 1


@pytest.mark.parametrize("content", ["", "abc", "zz" * 32, "ab" * 31])
def test_a_broken_secret_is_told_and_never_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret.key").write_text(content)
    with pytest.raises(InputError, match="restore it from the backup"):
        load_secret(tmp_path)
    assert (tmp_path / "secret.key").read_text() == content
