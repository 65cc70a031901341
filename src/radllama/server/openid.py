"""Signing people in at the hospital's own OpenID provider: authorization code with PKCE, the id token verified here."""

import secrets
import threading
from dataclasses import dataclass
from typing import Any

import httpx

from radllama.errors import InputError

SECRET_VARIABLE = "RADLLAMA_OPENID_SECRET"
_TIMEOUT_S = 10.0
_LEEWAY_S = 60
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]  # none that a shared secret, or no key at all, could sign
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class SignInError(Exception):
    """The provider's answer is not to be trusted, or says no. The message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What this server keeps of a browser that it has sent to the provider; it travels in that browser's cookie."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> "Trip":
        """Three fresh secrets."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    def pack(self) -> str:
        """As a cookie's value."""
        return f"{self.state}.{self.nonce}.{self.verifier}"

    @classmethod
    def unpack(cls, value: str | None) -> "Trip | None":
        """From a cookie's value; None for what is none."""
        parts = (value or "").split(".")
        return cls(*parts) if len(parts) == 3 and all(parts) else None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in: an id that stays (issuer and subject) and a name to show."""

    id: str
    name: str


class Provider:
    """One provider, known by its discovery document; its keys are read again when it signs with a new one."""

    def __init__(self, issuer: str, client: str, secret: str | None = None) -> None:
        """Raises InputError when the provider does not answer, or says of itself what cannot be."""
        self.issuer, self._client, self._secret = issuer, client, secret
        address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            self._described = _get(address)
        except SignInError as error:
            raise InputError(f"--openid {issuer}: {error}") from None
        if self._described.get("issuer") != issuer:
            raise InputError(f"--openid {issuer}: calls itself another issuer; give the address it calls itself")
        if absent := [name for name in _ENDPOINTS if not isinstance(self._described.get(name), str)]:
            raise InputError(f"--openid {issuer}: its description lacks {', '.join(absent)}")
        self._keys: Any = None
        self._lock = threading.Lock()

    def address(self, trip: Trip, redirect_uri: str) -> str:
        """Where the browser is sent."""
        with self._open(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                self._described["authorization_endpoint"],
                state=trip.state,
                nonce=trip.nonce,
                code_verifier=trip.verifier,
            )
        return str(url)

    def finish(self, trip: Trip, code: str, redirect_uri: str) -> Person:
        """Who came back with this code. Raises SignInError."""
        from authlib.common.errors import AuthlibBaseError

        try:
            with self._open(redirect_uri) as client:
                token = client.fetch_token(
                    self._described["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=trip.verifier,
                )
        except (AuthlibBaseError, httpx.HTTPError, ValueError):
            raise SignInError("the provider did not exchange the code") from None
        claims = self._verify(token.get("id_token"), trip.nonce)
        subject = str(claims["sub"])
        named = (claims.get(name) for name in ("name", "preferred_username", "email"))
        name = next((one for one in named if isinstance(one, str) and one.strip()), subject)
        return Person(f"{self.issuer}|{subject}"[:200], name.strip()[:100])

    def _verify(self, token: Any, nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError

        wanted = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._client},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        for fresh in (False, True):  # once more with the provider's keys of now: it may have changed them
            try:
                claims = jwt.decode(str(token), self._load_keys(fresh), algorithms=_ALGORITHMS).claims
                wanted.validate(claims)
                authorized = claims.get("azp", self._client)
                if authorized != self._client:
                    raise SignInError("the provider's answer was meant for another client")
                return dict(claims)
            except (JoseError, ValueError, KeyError):
                continue
        raise SignInError("the provider's answer does not verify")

    def _load_keys(self, fresh: bool) -> Any:
        from joserfc.jwk import KeySet

        with self._lock:
            if fresh or self._keys is None:
                self._keys = KeySet.import_key_set(_get(self._described["jwks_uri"]))  # type: ignore[arg-type]
            return self._keys

    def _open(self, redirect_uri: str) -> Any:
        from authlib.integrations.httpx_client import OAuth2Client

        method = "client_secret_basic" if self._secret else "none"
        return OAuth2Client(
            self._client,
            self._secret,
            token_endpoint_auth_method=method,
            scope="openid profile email",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
        )


def _get(address: str) -> dict[str, Any]:
    try:
        answer = httpx.get(address, timeout=_TIMEOUT_S)
        value = answer.json() if answer.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        raise SignInError("the provider cannot be reached, or does not answer in JSON") from None
    if not isinstance(value, dict):
        raise SignInError("the provider does not describe itself there")
    return value
