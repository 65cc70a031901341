"""The report files of a folder, a zip or a tar, one after another, read in place.

Nothing is unpacked to disk. An archive from elsewhere is not trusted: names that climb out of it, links
and members too large for a report are refused, and one that ends too early is an error at its end.
"""

import gzip
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from radllama.errors import InputError

# The longest OpenI and MIMIC-CXR reports have under 10 KiB: what is larger is no report, or a bomb.
MAX_REPORT_BYTES = 1 << 20
_TAR_BLOCK = 512


def read_members(path: Path, wanted: re.Pattern[str], expected: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) for each file whose path, with "/" between its parts, `wanted` matches to the end.

    A folder is read in the order of its names, numbers by size ("2.xml" before "10.xml"); an archive
    (.zip, .tar, .tar.gz, .tgz) in its own order. `expected` says in errors what should have been there.
    Raises InputError for an empty, broken or unsafe archive, a member over MAX_REPORT_BYTES, or when
    nothing matches.
    """
    if path.is_dir():
        members = _read_folder(path, wanted)
    elif not path.exists():
        raise InputError(f"{path}: no such file or folder; expected {expected}")
    elif path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; expected {expected}")
    elif path.suffix.lower() == ".zip":
        members = _read_zip(path, wanted)
    elif re.search(r"\.(tar|tgz|tar\.gz)$", path.name.lower()):
        members = _read_tar(path, wanted)
    else:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; expected {expected}")
    count = 0
    for member in members:
        count += 1
        yield member
    if not count:
        raise InputError(f"{path}: no reports in it; expected {expected}")


def _read_folder(root: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})")

    for folder, subfolders, names in os.walk(root, onerror=refuse):
        # Shorter first puts 2.xml before 10.xml, and leaves names of equal length as they are.
        subfolders.sort(key=lambda name: (len(name), name))
        for name in sorted(names, key=lambda name: (len(name), name)):
            file = Path(folder, name)
            inside = file.relative_to(root).as_posix()
            if not _is_wanted(inside, wanted):
                continue
            try:
                with file.open("rb") as stream:
                    data = stream.read(MAX_REPORT_BYTES + 1)
            except OSError as error:
                raise InputError(f"{file}: cannot be read ({error.strerror})") from None
            yield inside, _checked_size(root, inside, data)


def _read_zip(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise InputError(f"{path}: not a zip archive, or cut off; download or copy it again") from None
    with archive:
        for member in archive.infolist():
            _refuse_climbing(path, member.filename)
            if member.is_dir() or not _is_wanted(member.filename, wanted):
                continue
            try:
                with archive.open(member) as stream:
                    # The size in the directory may lie: what counts is what comes out.
                    data = stream.read(MAX_REPORT_BYTES + 1)
            except RuntimeError as error:  # NotImplementedError, an unknown compression, is one too
                raise InputError(f"{path}: {member.filename}: {error}; zip it again without it") from None
            except (zipfile.BadZipFile, zlib.error, EOFError):
                raise InputError(f"{path}: {member.filename}: damaged; download or copy the zip again") from None
            yield member.filename, _checked_size(path, member.filename, data)


def _read_tar(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as raw:
        # By content, not by name: some browsers unpack the gzip around a .tgz and keep the name.
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = _Bounded(path, gzip.GzipFile(fileobj=raw) if zipped else raw)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r:") as archive:
                for member in archive:
                    _refuse_climbing(path, member.name)
                    if member.isdir() or not _is_wanted(member.name, wanted):
                        continue
                    file = archive.extractfile(member) if member.isfile() else None
                    if file is None:
                        raise InputError(f"{path}: {member.name}: a link or device, not a report; pack files alone")
                    if member.size > MAX_REPORT_BYTES:
                        raise _too_large(path, member.name)
                    yield member.name, file.read()
            # tarfile takes a damaged header for the end. The true end is a block of zeros.
            if stream.last != bytes(_TAR_BLOCK):
                raise tarfile.ReadError
            while stream.read(MAX_REPORT_BYTES):
                pass  # gzip compares its checksum at its own end
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error):
            kind = "tar.gz" if zipped else "tar"
            raise InputError(
                f"{path}: not a {kind} archive, or damaged, or cut off; download or copy it again"
            ) from None


class _Bounded:
    """A stream that refuses to read more than a report at once, and remembers what it read last."""

    def __init__(self, path: Path, stream: BinaryIO | gzip.GzipFile) -> None:
        self._path = path
        self._stream = stream
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > MAX_REPORT_BYTES:
            raise InputError(f"{self._path}: a header of {size:,} bytes; no archive of reports has that")
        self.last = self._stream.read(size)
        return self.last

    def seek(self, position: int) -> int:
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()


def _is_wanted(name: str, wanted: re.Pattern[str]) -> bool:
    # macOS puts "._1.xml" beside "1.xml" in the archives it makes.
    return wanted.search(name) is not None and not name.rpartition("/")[2].startswith(".")


def _refuse_climbing(path: Path, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
        raise InputError(f"{path}: {name!r} points outside the archive; do not trust this file, get it anew")


def _checked_size(path: Path, name: str, data: bytes) -> bytes:
    if len(data) > MAX_REPORT_BYTES:
        raise _too_large(path, name)
    return data


def _too_large(path: Path, name: str) -> InputError:
    return InputError(f"{path}: {name} is over {MAX_REPORT_BYTES:,} bytes; a report is far smaller, remove it")
