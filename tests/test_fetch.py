"""The download, against a real server on the loopback."""

import gzip
import io
import random
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.reports import fetch
from radllama.reports.fetch import fetch_openi

NAME = "NLMCXR_reports.tgz"


def collection(reports: int = 3) -> bytes:
    """A small archive in the shape of the collection."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for number in range(1, reports + 1):
            # Not compressible: cuts and ranges need some length.
            body = f"<eCitation>{random.Random(number).getrandbits(2000):x}</eCitation>".encode()
            entry = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


class Home(ThreadingHTTPServer):
    """A server of one file, with the bad habits a test asks for."""

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = body
        self.cut_at: list[int] = []  # bytes after which the next answers break off
        self.status: list[int] = []  # what the next answers are instead
        self.ranges = True
        self.claims_range: str | None = None  # a Content-Range that is not true
        self.sends_length = True
        self.asked: list[str | None] = []  # the Range header of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class _Handler(BaseHTTPRequestHandler):
    server: Home

    def do_GET(self) -> None:
        home = self.server
        asked = self.headers.get("Range")
        home.asked.append(asked)
        if home.status:
            self.send_error(home.status.pop(0))
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and home.ranges else 0
        if start >= len(home.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(home.body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = home.body[start:]
        self.send_response(206 if start else 200)
        if start:
            true = f"bytes {start}-{len(home.body) - 1}/{len(home.body)}"
            self.send_header("Content-Range", home.claims_range or true)
        if home.sends_length:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: home.cut_at.pop(0)] if home.cut_at else rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Home(collection())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch_now(out: Path, url: str, attempts: int = 2) -> Path:
    return fetch_openi(out, url, attempts=attempts, pause_s=0.001)


def test_the_file_arrives_whole_and_the_part_is_gone(home: Home, tmp_path: Path) -> None:
    path = fetch_now(tmp_path / "new" / "folder", home.url)
    assert path == tmp_path / "new" / "folder" / NAME
    assert path.read_bytes() == home.body
    assert [each.name for each in path.parent.iterdir()] == [NAME]


def test_only_stderr_is_written_to(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch_now(tmp_path, home.url)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "checksum right" in printed.err


def test_another_number_of_reports_is_told_and_not_an_error(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_now(tmp_path, home.url)
    assert "3 reports where 3,955 are known" in capsys.readouterr().err


def test_the_known_number_of_reports_is_told_plainly(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "OPENI_REPORTS", 3)
    fetch_now(tmp_path, home.url)
    assert capsys.readouterr().err.endswith("checksum right, 3 reports\n")


def test_a_file_that_is_there_is_verified_and_not_fetched_again(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_now(tmp_path, home.url)
    fetch_now(tmp_path, home.url)
    assert len(home.asked) == 1
    assert "already there" in capsys.readouterr().err


def test_a_damaged_file_that_is_there_is_named_and_left_alone(home: Home, tmp_path: Path) -> None:
    target = tmp_path / NAME
    target.write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"NLMCXR_reports\.tgz: damaged .* delete it"):
        fetch_now(tmp_path, home.url)
    assert target.read_bytes() == b"not an archive"
    assert home.asked == []


def test_a_cut_download_is_continued_where_it_ended(home: Home, tmp_path: Path) -> None:
    home.cut_at = [100, 50]
    path = fetch_now(tmp_path, home.url)
    assert path.read_bytes() == home.body
    assert home.asked == [None, "bytes=100-", "bytes=150-"]


def test_a_part_from_an_earlier_call_is_continued(home: Home, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(home.body[:70])
    assert fetch_now(tmp_path, home.url).read_bytes() == home.body
    assert home.asked == ["bytes=70-"]


def test_what_arrived_before_giving_up_is_kept(home: Home, tmp_path: Path) -> None:
    home.cut_at = [60, 0, 0]
    with pytest.raises(InputError, match="broke off"):
        fetch_now(tmp_path, home.url)
    assert (tmp_path / f"{NAME}.part").read_bytes() == home.body[:60]
    assert not (tmp_path / NAME).exists()


def test_a_server_without_ranges_starts_over(home: Home, tmp_path: Path) -> None:
    home.ranges = False
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 40)
    assert fetch_now(tmp_path, home.url).read_bytes() == home.body


def test_a_server_that_always_starts_over_and_always_cuts_is_given_up(home: Home, tmp_path: Path) -> None:
    home.ranges = False
    home.cut_at = [80] * 20
    with pytest.raises(InputError, match="broke off"):
        fetch_now(tmp_path, home.url)
    assert len(home.asked) == 3  # one that brought something, two that brought nothing new


def test_a_complete_part_needs_no_more_bytes(home: Home, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(home.body)
    assert fetch_now(tmp_path, home.url).read_bytes() == home.body
    assert home.asked == [f"bytes={len(home.body)}-"]


def test_a_part_longer_than_the_file_is_fetched_anew(home: Home, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(home.body + b"old tail")
    assert fetch_now(tmp_path, home.url).read_bytes() == home.body
    assert home.asked[-1] is None


def test_a_part_of_another_version_is_found_by_the_checksum_and_fetched_anew(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"\0" * 90)
    assert fetch_now(tmp_path, home.url).read_bytes() == home.body
    assert home.asked == ["bytes=90-", None]
    assert "starting over" in capsys.readouterr().err


def test_a_range_that_starts_elsewhere_is_not_appended(home: Home, tmp_path: Path) -> None:
    home.claims_range = f"bytes 10-{len(home.body) - 1}/{len(home.body)}"
    (tmp_path / f"{NAME}.part").write_bytes(home.body[:50])
    assert fetch_now(tmp_path, home.url).read_bytes() == home.body


def test_a_server_that_does_not_tell_the_length_is_judged_by_the_checksum(home: Home, tmp_path: Path) -> None:
    home.sends_length = False
    assert fetch_now(tmp_path / "whole", home.url).read_bytes() == home.body
    home.cut_at = [120]
    with pytest.raises(InputError, match="damaged"):
        fetch_now(tmp_path / "cut", home.url)


def test_a_busy_server_is_asked_again(home: Home, tmp_path: Path) -> None:
    home.status = [503]
    assert fetch_now(tmp_path, home.url).read_bytes() == home.body


def test_a_server_that_stays_busy_is_given_up(home: Home, tmp_path: Path) -> None:
    home.status = [503] * 9
    with pytest.raises(InputError, match="answered 503"):
        fetch_now(tmp_path, home.url, attempts=3)
    assert len(home.asked) == 3


def test_a_missing_file_is_not_asked_for_twice(home: Home, tmp_path: Path) -> None:
    home.status = [404]
    with pytest.raises(InputError, match="answered 404"):
        fetch_now(tmp_path, home.url)
    assert len(home.asked) == 1


@pytest.mark.parametrize("cause", ["nothing listens", "not an address", "not a scheme"])
def test_without_a_way_to_the_file_the_error_tells_how_to_use_a_local_copy(
    cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = {
        "nothing listens": "http://127.0.0.1:9/x",
        "not an address": "http://:x",
        "not a scheme": "file:///x",
    }[cause]
    with pytest.raises(InputError) as raised:
        fetch_now(tmp_path, url)
    message = str(raised.value)
    assert "radllama data build --source openi --path FILE --out DATASET" in message
    assert "\n" not in message
    assert url in message


def test_a_wrong_checksum_discards_the_download(home: Home, tmp_path: Path) -> None:
    damaged = bytearray(home.body)
    damaged[-6] ^= 1  # in the trailer: only the CRC can tell
    home.body = bytes(damaged)
    with pytest.raises(InputError, match="checksum is wrong"):
        fetch_now(tmp_path, home.url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"<html>sign in first</html>", "damaged"),
        (gzip.compress(b"plain text, not an archive" * 50), "not a tar"),
        (collection(reports=0), "no XML reports"),
    ],
    ids=["a web page", "gzip of something else", "an empty archive"],
)
def test_what_is_not_the_collection_is_refused(body: bytes, fault: str, home: Home, tmp_path: Path) -> None:
    home.body = body
    with pytest.raises(InputError, match=fault):
        fetch_now(tmp_path, home.url)
    assert not (tmp_path / NAME).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_one_clear_line_and_the_part_is_kept(home: Home, tmp_path: Path) -> None:
    part = tmp_path / f"{NAME}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"the disk is full; what arrived is kept"):
        fetch_now(tmp_path, home.url)
    assert part.is_symlink()
    assert len(home.asked) == 1


def test_an_out_that_is_a_file_is_one_clear_line(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="file: "):
        fetch_now(tmp_path / "file", home.url)
