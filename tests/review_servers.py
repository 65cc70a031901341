"""Real review servers for tests: uvicorn on a free loopback port, in a thread, over a small study."""

import io
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from review_studies import make_study

from radllama.review.accounts import accept, create_account, hash_password, invite
from radllama.review.app import create_app
from radllama.review.site import Site
from radllama.review.studies import find_study
from radllama.server.audit import AuditLog
from radllama.server.limiter import Limiter
from radllama.server.openid import Provider
from radllama.store.store import Store, open_store
from radllama.web.exposure import Exposure
from radllama.web.logs import open_log

PASSWORD = "four words make one"
_HASHES: list[str] = []  # argon2 takes its time, on purpose: once is enough here


@dataclass
class Reviewing:
    """A review server that answers at `url`."""

    url: str
    home: Path
    store: Store
    audit: AuditLog
    log: io.StringIO
    site: Site
    free: list[int] = field(default_factory=list)  # seats that nobody has taken
    people: int = field(default=0)

    def invitation(self, seat: int | None = 1, study: str = "pilot", hours: float = 1) -> str:
        """The path of a new one."""
        with self.store.write() as session:
            return f"/invitation/{invite(session, find_study(session, study), seat, hours)}"

    def seat(self) -> int:
        """One that nobody has taken."""
        return self.free.pop(0)

    def join(self, seat: int | None = 1, name: str = "", study: str = "pilot") -> str:
        """Somebody with an account of that name who has followed an invitation; tells the name."""
        self.people += 1
        name = name or f"rater {self.people}"
        if not _HASHES:
            _HASHES.append(hash_password(PASSWORD))
        with self.store.write() as session:
            token = invite(session, find_study(session, study), seat)
            accept(session, token, create_account(session, name, _HASHES[0]))
        return name

    def sign_in(self, name: str) -> "Guest":
        """A browser without scripts, signed in."""
        guest = Guest(self.url)
        answer = guest.post("/login", name=name, password=PASSWORD)
        assert answer.status_code == 303
        return guest


class Guest:
    """A browser without scripts: it keeps cookies, says what it wants, and follows nothing by itself."""

    def __init__(self, url: str) -> None:
        # Nothing stays open between requests, so that nothing is left to close.
        headers = {"Accept": "text/html", "Connection": "close"}
        self._client, self._url = httpx.Client(base_url=url, timeout=60, headers=headers), url

    @property
    def cookies(self) -> httpx.Cookies:
        """What the server has set."""
        return self._client.cookies

    def get(self, path: str) -> httpx.Response:
        """Load a page."""
        return self._client.get(path)

    def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form."""
        return self._client.post(path, data=fields, headers={"Origin": self._url})

    def csrf(self) -> str:
        """The secret on the first page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/").text)
        assert found
        return found[1]

    def call(self, path: str, body: Any, csrf: str | None = None) -> httpx.Response:
        """Send JSON, as the page's script does."""
        headers = {"X-CSRF-Token": self.csrf() if csrf is None else csrf, "Accept": "*/*"}
        return self._client.post(path, json=body, headers=headers)


@contextmanager
def reviewing(
    home: Path,
    database: str | None = None,
    hours: float = 12,
    limit: str = "100000/minute",
    provider: Provider | None = None,
    **study: Any,
) -> Iterator[Reviewing]:
    """Serve a study called "pilot" from here on."""
    store = open_store(database, home)
    audit, told = AuditLog(store, home), io.StringIO()
    make_study(audit, home, **study)
    site = Site(store, audit, open_log(told), hours, Limiter(limit), Limiter(limit), Limiter(limit), provider)
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(Exposure().configure(create_app(site)))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        yield Reviewing(url, home, store, audit, told, site, list(range(1, study.get("raters", 2) + 1)))
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        store.close()
