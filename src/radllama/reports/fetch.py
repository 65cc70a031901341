"""Download the public OpenI reports from their home, resume, verify.

The collection: 3,955 reports of the Indiana University chest X-ray collection, de-identified, served
by the U.S. National Library of Medicine (Demner-Fushman et al., "Preparing a collection of radiology
examinations for distribution and retrieval", JAMIA 2016), licence CC BY-NC-ND 4.0. We only download
it to the user's disk; nothing of it is passed on.
"""

import errno
import gzip
import re
import sys
import tarfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from radllama.errors import InputError

if TYPE_CHECKING:
    import httpx

OPENI_URL = "https://openi.nlm.nih.gov/imgs/collections/NLMCXR_reports.tgz"
OPENI_REPORTS = 3955

_LOCAL_COPY = (
    "with a local copy, run: radllama data build --source openi --path FILE --out DATASET "
    "(FILE: the .tgz, a folder of its XML, or the Kaggle CSV)"
)
_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}


class _CutOffError(Exception):
    """The transfer ended early or the server is busy: worth another try."""


def fetch_openi(out: Path, url: str = OPENI_URL, *, attempts: int = 4, pause_s: float = 1.0) -> Path:
    """Download the OpenI reports to `out/NLMCXR_reports.tgz` and return that path.

    What has arrived stands in a `.part` file beside it and is continued by the next call. The file gets
    its name only when the gzip checksum is right and it is a tar with XML reports; one that is already
    there is verified and left alone. `attempts` is how often in a row a try may bring nothing new, with
    a pause of `pause_s` seconds that doubles. Notes go to stderr. Raises InputError with one line when
    there is no way to get the file.
    """
    target = out / "NLMCXR_reports.tgz"
    part = target.with_name(target.name + ".part")
    if target.exists():
        if fault := _fault(target):
            raise InputError(f"{target}: {fault}; delete it and run again, or {_LOCAL_COPY}")
        _note(f"{target}: already there, {_count(target)}")
        return target
    try:
        out.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        _download(url, part, attempts, pause_s)
        fault = _fault(part)
        if fault and resumed:
            # The home may have changed the file between the two halves.
            _note(f"{part}: {fault}; starting over")
            part.unlink()
            _download(url, part, attempts, pause_s)
            fault = _fault(part)
        if fault:
            part.unlink()
            raise InputError(f"{url}: {fault}; the download was discarded; try again later, or {_LOCAL_COPY}")
        part.replace(target)
    except OSError as error:
        kept = f"; what arrived is kept in {part} and continued next time" if part.exists() else ""
        what = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or type(error).__name__)
        raise InputError(f"{out}: {what}{kept}; make room or choose another --out") from None
    _note(f"{target}: {_count(target)}")
    return target


def _download(url: str, part: Path, attempts: int, pause_s: float) -> None:
    """Bring `part` to its full length; raises InputError when no try brings anything new."""
    import httpx

    failures, most = 0, _size(part)
    timeout = httpx.Timeout(60.0, connect=15.0)
    with httpx.Client(follow_redirects=True, timeout=timeout) as client:
        while True:
            try:
                return _transfer(client, url, part)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects):
                raise InputError(f"{url}: not an address that can be fetched; {_LOCAL_COPY}") from None
            except (httpx.TransportError, _CutOffError) as error:
                reason = _reason(error)
            # A server that always starts over and always cuts must not keep us forever.
            failures = 0 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures >= attempts:
                raise InputError(f"{url}: {reason}; {_LOCAL_COPY}")
            _note(f"{reason}; trying again")
            time.sleep(pause_s * 2 ** max(failures - 1, 0))


def _transfer(client: "httpx.Client", url: str, part: Path) -> None:
    """One request: continue `part` where it ends, or start over if the server will not continue."""
    from tqdm import tqdm

    have = _size(part)
    # Without "identity" a server may compress again, and lengths and ranges would mean something else.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        start, total = _content_range(response.headers.get("Content-Range", ""))
        if response.status_code == 416 and have:
            if total == have:
                return
            part.unlink()
            raise _CutOffError("the file at its home is shorter than what is here; starting over")
        if response.status_code in _RETRY_STATUS:
            raise _CutOffError(f"the server answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise InputError(f"{url}: the server answered {response.status_code}; {_LOCAL_COPY}")
        if response.status_code == 206 and start != have:
            part.unlink(missing_ok=True)
            raise _CutOffError("the server continued at another place; starting over")
        if response.status_code == 200:
            have = 0
            total = int(response.headers.get("Content-Length") or 0) or None
        bar = tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=part.stem,
            file=sys.stderr,
            disable=None,  # no bar where stderr is not a terminal
        )
        with bar, part.open("ab" if have else "wb") as file:
            for block in response.iter_raw():  # as it comes: a size given here would hold bytes back
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) != total:
        raise _CutOffError(f"{_size(part):,} of {total:,} bytes arrived")


def _content_range(header: str) -> tuple[int | None, int | None]:
    """(first byte, total length) of a Content-Range header; None for what it does not say."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", header.strip())
    if match is None:
        return None, None
    return (int(match[1]) if match[1] else None), (int(match[2]) if match[2] else None)


def _fault(path: Path) -> str:
    """What is wrong with a downloaded archive, or the empty string."""
    try:
        with gzip.open(path) as file:  # to the end: the checksum stands there
            while file.read(1 << 20):
                pass
        with tarfile.open(path, "r:gz") as tar:
            reports = _reports_in(tar)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return "damaged (not gzip, or its checksum is wrong)"
    except tarfile.TarError:
        return "not a tar archive"
    return "" if reports else "holds no XML reports"


def _count(path: Path) -> str:
    with tarfile.open(path, "r:gz") as tar:
        reports = _reports_in(tar)
    if reports == OPENI_REPORTS:
        return f"checksum right, {reports:,} reports"
    return f"checksum right, but {reports:,} reports where {OPENI_REPORTS:,} are known: the collection may have changed"


def _reports_in(tar: tarfile.TarFile) -> int:
    return sum(member.isfile() and member.name.endswith(".xml") for member in tar)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "cannot connect (offline, blocked or the name is not known)"
    if isinstance(error, httpx.TimeoutException):
        return "the server stopped answering"
    if isinstance(error, _CutOffError):
        return str(error)
    return "the connection broke off"


def _note(text: str) -> None:
    print(text, file=sys.stderr)
