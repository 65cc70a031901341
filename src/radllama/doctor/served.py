"""A server that is said to have the model: this one of ours, vLLM, or any other with OpenAI's paths."""

import os
from functools import cached_property
from typing import Any

from radllama.engines.openai import KEY_VARIABLE, Endpoint, OpenAIEngine
from radllama.engines.post import Address
from radllama.errors import InputError

_TIMEOUT_S = 60.0


class Served:
    """What is asked of a server beside drafts. `url`: http(s)://HOST[:PORT], with or without /v1 at its end.

    `name` is the model's name there; None: the only one that it lists. A key is read from the environment.
    """

    def __init__(self, url: str, name: str | None = None, key_variable: str = KEY_VARIABLE) -> None:
        self._root = url.rstrip("/").removesuffix("/v1")
        self._address = Address(self._root)
        self._name, self._key_variable = name, key_variable

    @property
    def host(self) -> str:
        """Host and port."""
        return self._address.host

    @cached_property
    def name(self) -> str:
        """The model's name there. Raises InputError when it lists several and none was chosen."""
        listed = self._ask("GET", "v1/models") or {}
        rows = listed.get("data")
        names = [str(row.get("id")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        if self._name in names:
            return str(self._name)
        if self._name is not None or len(names) != 1:
            told = f"it lists {', '.join(names)}" if names else "it lists none"
            raise InputError(f"{self.host}: name the model as this server does, with --served-name; {told}")
        return names[0]

    @cached_property
    def engine(self) -> OpenAIEngine:
        """What drafts there."""
        endpoint = Endpoint(f"{self._root}/v1", self.name, self._key_variable, attempts=2, pause_s=0.5)
        return OpenAIEngine(endpoint)

    def describe(self) -> dict[str, Any] | None:
        """What a server of ours says of its model; None where it is another kind of server."""
        return self._ask("GET", "v1/assistant")

    def tokenize(self, prompt: str) -> list[int] | None:
        """The ids that the server makes of a prompt, as vLLM and llama.cpp tell them; None where it does not."""
        answer = self._ask("POST", "tokenize", {"model": self.name, "prompt": prompt, "content": prompt})
        ids = (answer or {}).get("tokens")
        return ids if isinstance(ids, list) and all(isinstance(one, int) for one in ids) else None

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The JSON object at a path; None where there is no such path."""
        import httpx

        key = os.environ.get(self._key_variable, "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = self._address.url(path)
        try:
            with httpx.Client(timeout=_TIMEOUT_S, trust_env=not self._address.is_loopback) as client:
                answer = client.request(method, url, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise InputError(f"{self.host}: does not answer ({type(error).__name__}); is it running?") from None
        if answer.status_code in (401, 403):
            raise InputError(f"{self.host}: wants a key; put it into the environment variable {self._key_variable}")
        try:
            value = answer.json() if answer.status_code == 200 else None
        except ValueError:
            value = None
        return value if isinstance(value, dict) else None
