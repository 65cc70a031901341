"""Who can send HL7 messages: this machine alone, or those whose certificate is known."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from radllama.errors import InputError
from radllama.web.exposure import Exposure, listen_at


@dataclass(frozen=True, slots=True)
class MllpExposure:
    """Where HL7 messages are listened for. `tls_clients`: the certificates (PEM) that senders must be signed by.

    MLLP knows no keys, so beyond this machine a sender is known by its certificate.
    """

    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_clients: Path | None = None
    plain: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return Exposure(self.host).is_loopback

    def listen(self) -> socket.socket:
        """The bound socket. Raises InputError for a place that others reach unknown, or one that is taken."""
        if not self.is_loopback and not self.plain and not (self.tls_cert and self.tls_key and self.tls_clients):
            raise InputError(
                f"serve: at {self.host} anybody could send HL7 messages; give --tls-cert, --tls-key and "
                "--mllp-clients CERTIFICATES.pem, which senders must be signed by, or say --plain-http"
            )
        return listen_at(self.host, self.port, "for HL7 ")

    def tls(self) -> ssl.SSLContext | None:
        """What encrypts it; None on this machine alone, or where it was said aloud. Raises InputError for no key."""
        if not (self.tls_cert and self.tls_clients):
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
            context.load_verify_locations(self.tls_clients)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"serve: --tls-cert, --tls-key or --mllp-clients cannot be read: {error.strerror}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def parse_mllp(text: str) -> tuple[str, int]:
    """(host, port) of "2575" or "10.0.0.7:2575". Raises InputError for what is neither."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--mllp {text!r}: expected PORT or HOST:PORT, as in 2575")
    return host.strip("[]") or "127.0.0.1", int(port)
