"""One request to an endpoint: posted, repeated while the server is busy, and its errors told without report text."""

import ipaddress
import json
import random
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from radllama.errors import EndpointError, InputError

if TYPE_CHECKING:
    import httpx

_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_LONGEST_WAIT_S = 300.0
# A server's error may quote the prompt it was sent. So nothing of it is shown but what we know beforehand.
_KNOWN_CODES = {
    "content_filter",
    "insufficient_quota",
    "invalid_api_key",
    "model_not_found",
    "DeploymentNotFound",
    "unsupported_parameter",
    "unsupported_value",
}
_TOO_LONG_CODES = {"context_length_exceeded", "exceed_context_size_error"}
_TOO_LONG_PHRASES = ("context length", "context size", "context window", "maximum model length")
_ADVICE = {
    401: "the key is missing or not accepted",
    403: "this key may not use the model",
    404: "no such address or model there; --base-url usually ends in /v1, and --model is the name that the server uses",
    413: "the request is too large for it",
}


class TooLongError(Exception):
    """The prompt and the draft do not fit the model's context."""


class _BusyError(Exception):
    """Worth another try, after `wait_s` seconds where the server says so."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is: "http://127.0.0.1:8000/v1". Raises InputError for what is no such address."""

    base_url: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that do not close, a port that is no number
            usable = False
        if not usable:
            raise InputError(f"--base-url {self.base_url.split('?')[0]!r}: expected http(s)://HOST[:PORT]/v1")
        if parts.username or parts.password:
            raise InputError("--base-url: holds a user name or password; give the key in an environment variable")

    def url(self, path: str) -> str:
        """The full address of `path`; what follows a "?" stays behind it (Azure's api-version)."""
        parts = urlsplit(self.base_url)
        return parts._replace(path=f"{parts.path.rstrip('/')}/{path}", fragment="").geturl()

    @property
    def host(self) -> str:
        """Host and port, as drafts and errors name the endpoint."""
        return urlsplit(self.base_url).netloc

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine; judged by the address alone, no name is looked up."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent there cannot be read on its way."""
        return urlsplit(self.base_url).scheme == "https"


class Poster:
    """Posts JSON to one address; threads may share it."""

    def __init__(self, address: Address, key: str | None, timeout_s: float, attempts: int, pause_s: float) -> None:
        import httpx

        self._address, self._attempts, self._pause_s = address, attempts, pause_s
        self._has_answered = False
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if key and address.host.split(":")[0].endswith(".azure.com"):
            headers["api-key"] = key  # what Azure's older addresses ask for
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 15.0)),
            trust_env=not address.is_loopback,  # a proxy would carry off what was to stay on this machine
        )
        weakref.finalize(self, self._client.close)

    def post(self, path: str, body: Mapping[str, Any], stopped: threading.Event) -> dict[str, Any]:
        """The JSON object that the server answers with.

        A server that is busy or breaks off is asked up to `attempts` times, after `pause_s` seconds that double or
        the time it names (Retry-After), until `stopped` is set. Raises TooLongError for a prompt that its model
        cannot take, and InputError in one line for everything else.
        """
        for attempt in range(1, self._attempts + 1):
            if stopped.is_set():
                break
            try:
                return self._post_once(path, body)
            except _BusyError as busy:
                reason, wait_s = str(busy), busy.wait_s
            if wait_s is not None and wait_s > _LONGEST_WAIT_S:
                raise self._error(f"{reason} and asks to wait {wait_s:,.0f} s; run the same command again then")
            if attempt < self._attempts:
                # Apart from each other by chance, or all threads would come back in the same moment.
                backoff = self._pause_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
                stopped.wait(backoff if wait_s is None else wait_s)
        else:
            raise self._error(f"{reason}, {self._attempts} times; run the same command again to go on")
        raise self._error("stopped")

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path, asked for once. Raises EndpointError in one line."""
        try:
            with self._answering():
                response = self._client.get(self._address.url(path))
            if response.status_code != 200:
                raise self._refusal(response, {})
        except _BusyError as busy:
            raise self._error(str(busy)) from None
        return self._parse(response.text)

    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The objects of an answer in pieces (server-sent events), as they come; asked once, else as `post`."""
        try:
            with self._answering(), self._client.stream("POST", self._address.url(path), json=body) as response:
                if response.status_code != 200:
                    response.read()
                    raise self._refusal(response, body)
                for line in response.iter_lines():
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        return
                    if line.startswith("data:"):
                        yield self._parse(data)
        except _BusyError as busy:
            raise self._error(str(busy)) from None

    def _post_once(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with self._answering():
            response = self._client.post(self._address.url(path), json=body)
        if response.status_code == 200:
            return self._parse(response.text)
        raise self._refusal(response, body)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What goes wrong on the way to an answer, in words."""
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout):
            told = "cannot be reached (not running, blocked, or the name is not known)"
            # A server that answered before is starting anew; one that never did will not be there in a minute.
            raise _BusyError(told) if self._has_answered else self._error(told) from None
        except httpx.TimeoutException:
            raise _BusyError("did not answer in time (--timeout-s)") from None
        except httpx.TransportError:
            raise _BusyError("broke off the connection") from None
        except httpx.InvalidURL:
            raise self._error("is no address that can be asked") from None
        self._has_answered = True

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self._error("answered with something that is not a JSON object; is it OpenAI-compatible?")
        return value

    def _refusal(self, response: "httpx.Response", body: Mapping[str, Any]) -> Exception:
        status, error = response.status_code, _error_of(response)
        code = ", ".join(sorted(_codes(error) & _KNOWN_CODES))
        if status in (400, 413, 422, 500) and _is_too_long(error):
            return TooLongError()
        if status in _RETRIED and "insufficient_quota" not in code:
            return _BusyError(f"answered {status}", _retry_after_s(response))
        if 300 <= status < 400:
            return self._error(f"answered {status}, a redirect, which is not followed; give the final address")
        told = f"answered {status}" + (f" ({code})" if code else "")
        parameter = error.get("param")
        if isinstance(parameter, str) and parameter in body:  # our own word, so it may be shown
            return self._error(f"{told}: it does not take {parameter!r} as it was sent; see --request", parameter)
        if advice := _ADVICE.get(status):
            told += f": {advice}"
        else:
            told += "; its log says why (its message is not shown: it might quote the findings)"
        return self._error(told)

    def _error(self, told: str, param: str | None = None) -> EndpointError:
        return EndpointError(f"{self._address.host}: {told}", param)


def _error_of(response: "httpx.Response") -> dict[str, Any]:
    """The error object of a body as OpenAI, vLLM, llama.cpp or Ollama write it; empty when there is none."""
    try:
        value = response.json()
    except ValueError:
        return {}
    error = value.get("error", value) if isinstance(value, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def _codes(error: Mapping[str, Any]) -> set[str]:
    return {value for value in (error.get("code"), error.get("type")) if isinstance(value, str)}


def _is_too_long(error: Mapping[str, Any]) -> bool:
    message = error.get("message")
    said = isinstance(message, str) and any(phrase in message.lower() for phrase in _TOO_LONG_PHRASES)
    return said or bool(_codes(error) & _TOO_LONG_CODES)


def _retry_after_s(response: "httpx.Response") -> float | None:
    """Seconds that the server asks to wait, which it gives as a number or as a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
