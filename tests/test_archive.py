"""Archives from elsewhere: what is read, and what is refused with one clear line."""

import gzip
import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.reports.archive import MAX_REPORT_BYTES, read_members

TXT = re.compile(r"\.txt$")
EXPECTED = "notes/<number>.txt"
FILES = {"notes/1.txt": b"one", "notes/2.txt": b"two", "notes/10.txt": b"ten"}


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def read(path: Path) -> dict[str, bytes]:
    return dict(read_members(path, TXT, EXPECTED))


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


def test_folder_zip_and_tar_give_the_same_members(tmp_path: Path) -> None:
    assert read(write_folder(tmp_path / "folder", FILES)) == FILES
    assert read(write_zip(tmp_path / "a.zip", FILES)) == FILES
    assert read(write_tar(tmp_path / "a.tar", FILES, "w")) == FILES
    assert read(write_tar(tmp_path / "a.tar.gz", FILES)) == FILES
    assert read(write_tar(tmp_path / "A.TGZ", FILES)) == FILES


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    assert list(read(write_folder(tmp_path, FILES))) == ["notes/1.txt", "notes/2.txt", "notes/10.txt"]


def test_members_are_read_one_by_one(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tgz", FILES)
    path.write_bytes(path.read_bytes()[:-9])
    members = read_members(path, TXT, EXPECTED)
    assert next(members) == ("notes/1.txt", b"one")  # the fault is met at the end alone
    with pytest.raises(InputError):
        list(members)


def test_what_is_not_wanted_is_passed_over(tmp_path: Path) -> None:
    others = {"LICENSE": b"-", "notes/._1.txt": b"macOS", "notes/index.html": b"-"}
    for path in (
        write_zip(tmp_path / "a.zip", FILES | others),
        write_tar(tmp_path / "a.tgz", FILES | others),
        write_folder(tmp_path / "folder", FILES | others),
    ):
        assert read(path) == FILES


def test_a_tgz_that_a_browser_has_unpacked_is_read(tmp_path: Path) -> None:
    assert read(write_tar(tmp_path / "a.tgz", FILES, "w")) == FILES


def test_a_file_of_another_kind_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    path = tmp_path / "reports.docx"
    path.write_bytes(b"PK")
    assert "unknown kind of file '.docx'" in refusal(path)
    assert EXPECTED in refusal(path)
    assert "no such file" in refusal(tmp_path / "absent.zip")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert f"the file is empty; expected {EXPECTED}" in refusal(tmp_path / name)


@pytest.mark.parametrize(("name", "kind"), [("a.zip", "zip"), ("a.tar", "tar"), ("a.tgz", "tar")])
def test_a_web_page_saved_under_the_name_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"<html>Please sign in to download</html>" * 100)
    assert f"not a {kind} archive" in refusal(tmp_path / name)


def test_an_archive_without_reports_is_refused(tmp_path: Path) -> None:
    for path in (
        write_zip(tmp_path / "a.zip", {"README": b"-"}),
        write_zip(tmp_path / "none.zip", {}),
        write_tar(tmp_path / "a.tgz", {"README": b"-"}),
        write_tar(tmp_path / "none.tar", {}, "w"),
        write_folder(tmp_path / "folder", {"README": b"-"}),
    ):
        assert f"no reports in it; expected {EXPECTED}" in refusal(path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_cut_off_anywhere_is_refused(tmp_path: Path, mode: str, kept: float) -> None:
    many = {f"notes/{i}.txt": bytes(f"report {i} " * 99, "ascii") for i in range(30)}
    path = write_tar(tmp_path / "a.tar.gz", many, mode)
    data = path.read_bytes()
    if mode == "w":  # a tar ends in blocks of zeros that may be missing: cut into what comes before them
        data = data.rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * kept)])
    assert "cut off; download or copy it again" in refusal(path)


def test_a_tar_cut_off_between_two_members_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES, "w")
    path.write_bytes(path.read_bytes()[: 2 * 1024])
    assert "cut off" in refusal(path)


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES, "w")
    data = bytearray(path.read_bytes())
    data[1024:1030] = b"xxxxxx"
    path.write_bytes(data)
    assert "damaged" in refusal(path)


def test_a_gzip_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tgz", FILES)
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)
    assert "damaged" in refusal(path)


def test_a_zip_cut_off_or_damaged_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", FILES)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a zip archive, or cut off" in refusal(path)
    start = 30 + len("notes/1.txt")  # where the first member's data follow its header
    path.write_bytes(whole[:start] + bytes([whole[start] ^ 0xFF]) + whole[start + 1 :])
    assert "notes/1.txt: damaged" in refusal(path)


@pytest.mark.parametrize("name", ["../1.txt", "notes/../../1.txt", "/etc/1.txt", "..\\1.txt", "C:\\1.txt"])
def test_a_path_that_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    for path in (
        write_zip(tmp_path / "a.zip", FILES | {name: b"-"}),
        write_tar(tmp_path / "a.tgz", FILES | {name: b"-"}),
    ):
        assert "points outside the archive" in refusal(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("notes/1.txt")
        member.type = kind
        member.linkname = "/etc/passwd"
        archive.addfile(member)
    assert "a link or device" in refusal(path)


def test_a_member_far_larger_than_a_report_is_refused(tmp_path: Path) -> None:
    bomb = {"notes/1.txt": bytes(MAX_REPORT_BYTES + 1)}
    for path in (
        write_zip(tmp_path / "a.zip", bomb),
        write_tar(tmp_path / "a.tgz", bomb),
        write_folder(tmp_path / "folder", bomb),
    ):
        assert "notes/1.txt is over 1,048,576 bytes" in refusal(path)


def test_a_member_of_just_the_limit_is_read(tmp_path: Path) -> None:
    large = {"notes/1.txt": bytes(MAX_REPORT_BYTES)}
    assert read(write_zip(tmp_path / "a.zip", large)) == large
    assert read(write_tar(tmp_path / "a.tgz", large)) == large


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"notes/1.txt": bytes(50 * MAX_REPORT_BYTES)})
    size = (50 * MAX_REPORT_BYTES).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (100).to_bytes(4, "little")))
    assert "notes/1.txt" in refusal(path)


def test_a_tar_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("long name")
    header.type = tarfile.GNUTYPE_LONGNAME
    header.size = 1 << 40
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))
    assert "a header of" in refusal(path)


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", FILES)
    data = bytearray(path.read_bytes())
    for signature, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(signature)
        while start >= 0:
            data[start + flag] |= 1
            start = data.find(signature, start + 4)
    path.write_bytes(data)
    assert "encrypted" in refusal(path)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", {"notes/1.txt": b"one"})
    (folder / "notes/2.txt").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"2\.txt: cannot be read \(No such file"):
        read(folder)
