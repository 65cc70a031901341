"""Who can reach the server: this machine alone, unless what protects it has been set up."""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from radllama.errors import InputError
from radllama.web.middleware import LOOPBACK

DRAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where the server listens and what stands between it and the rest.

    `proxies` are the addresses of the reverse proxies whose X-Forwarded headers are believed.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxies: tuple[str, ...] = ()
    plain_http: bool = False
    hosts: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    def check(self, has_keys: bool) -> None:
        """Raise InputError for a server that others could reach without key or signing in, or read on the way."""
        if bool(self.tls_cert) != bool(self.tls_key):
            raise InputError("serve: --tls-cert and --tls-key belong together")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise InputError(f"{path}: no such file")
        if self.is_loopback:
            return
        if not has_keys:
            raise InputError(
                f"serve: at {self.host} others reach this server, and no key exists yet; make one first "
                "(radllama keys create NAME), or leave --host out"
            )
        if not (self.tls_cert or self.proxies or self.plain_http):
            raise InputError(
                f"serve: at {self.host} findings would cross the network unencrypted; give --tls-cert and --tls-key, "
                "or --proxy ADDRESS of the reverse proxy that does it, or say --plain-http"
            )

    @property
    def names(self) -> frozenset[str] | None:
        """The names that the server answers to; None: any."""
        return None if not self.is_loopback and not self.hosts else LOOPBACK | set(self.hosts)

    def listen(self) -> socket.socket:
        """The socket, bound: that the port is taken is told at once. Raises InputError."""
        return listen_at(self.host, self.port)

    def configure(self, app: FastAPI) -> uvicorn.Config:
        """How uvicorn serves the app here."""
        return uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=self.tls_cert,
            ssl_keyfile=str(self.tls_key) if self.tls_key else None,
            proxy_headers=bool(self.proxies),
            forwarded_allow_ips=list(self.proxies),
            timeout_graceful_shutdown=int(DRAIN_S),
            timeout_keep_alive=30,
            lifespan="on",
        )

    def told(self, has_keys: bool, people_sign_in: bool = False) -> str:
        """One line for whoever started it."""
        reach = "reachable from this machine only" if self.is_loopback else "reachable by others, with a key"
        keys = "a key is needed" if has_keys else "no key exists, so everyone on this machine may use it"
        if people_sign_in:
            keys = "people sign in, programs need a key"
        return f"{self.url} ({reach}; {keys})"


def listen_at(host: str, port: int, purpose: str = "") -> socket.socket:
    """A socket, bound. Raises InputError, which says the purpose, where it cannot be had.

    No connection to it holds an answer back until the last one was acknowledged (Nagle's algorithm): clients
    acknowledge late, and every answer but a connection's first came 40 ms later. asyncio turns that off only for
    sockets that name their protocol, which those of `create_server` do not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise InputError(f"serve: cannot listen {purpose}at {host}:{port}: {error.strerror}") from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
