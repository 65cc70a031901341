"""A real OpenAI-compatible server on loopback, around a model of ours: it can also be busy, broken or talkative."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from radllama.engines import Completion, Sampling
from radllama.engines.transformers import TransformersEngine
from radllama.model import Model
from radllama.rivals.question import make_layout
from radllama.server.logprobs import render_chat, render_text


@dataclass(frozen=True)
class Reply:
    """What is answered instead of a completion; no status at all: the connection is closed without a word."""

    status: int | None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class ModelServer(ThreadingHTTPServer):
    """Answers /v1/chat/completions and /v1/completions with what `model` writes, after the `replies` are used up."""

    daemon_threads = True

    def __init__(self, model: Model) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model
        self.texts = TransformersEngine(model.network, model.tokenizer)
        self.chats = TransformersEngine(model.network, model.tokenizer, make_layout("chat").encode)
        self.context_tokens = self.texts.context_tokens
        self.replies: deque[Reply] = deque()
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []  # path, headers, body
        self.models = ["tiny"]
        self.answer: str | None = None  # said in place of the model's words
        self.stop_after: int | None = None  # requests seen, after which it is busy for good
        self.pause_s = 0.0
        self.at_once = 0  # requests under way, and the most there ever were
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.closed = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def lay_template(self, messages: list[dict[str, str]]) -> str:
        tokenizer = self.model.tokenizer
        if not tokenizer.chat_template:
            return "\n".join(message["content"] for message in messages)
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def complete(self, body: dict[str, Any]) -> Reply:
        told = body.get("top_logprobs", 0) if body.get("logprobs") is True else body.get("logprobs")
        sampling = Sampling(body["max_tokens"], body["temperature"], body.get("seed", 0), logprobs=told)
        engine = self.texts if "prompt" in body else self.chats
        prompt = body["prompt"] if "prompt" in body else self.lay_template(body["messages"])
        if engine.count_tokens(prompt) + sampling.max_new_tokens > self.context_tokens:
            error = {"message": f"too long: {body}", "code": "context_length_exceeded"}
            return Reply(400, {"error": error})
        if self.answer is None:
            with self.lock:  # one network
                completion = engine.complete([prompt], sampling)[0][0]
        else:
            completion = Completion(self.answer, "stop", tokens=len(self.answer.split()))
        text = completion.text
        said = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
        choice = {"index": 0, "finish_reason": completion.finish_reason, **said}
        if completion.spelled is not None:
            lay_out = render_text if "prompt" in body else render_chat
            choice["logprobs"] = lay_out(completion.spelled)
        usage = {"completion_tokens": completion.tokens}
        return Reply(200, {"object": "completion", "model": body["model"], "choices": [choice], "usage": usage})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        known = self.path == "/v1/models"
        models = [{"id": name, "object": "model"} for name in self.server.models]
        self._send(Reply(200, {"object": "list", "data": models}) if known else Reply(404, {"error": {}}))

    def do_POST(self) -> None:
        server = self.server
        if server.closed:  # a connection that was kept open
            self.close_connection = True
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            reply = server.replies.popleft() if server.replies else None
            if server.stop_after is not None and len(server.seen) > server.stop_after:
                reply = Reply(503)
        time.sleep(server.pause_s)
        if reply is None:
            known = self.path.split("?")[0] in ("/v1/chat/completions", "/v1/completions")
            reply = server.complete(body) if known else Reply(404, {"error": {"message": f"no {self.path}"}})
        with server.lock:
            server.at_once -= 1
        if body.get("stream") and reply.status == 200 and isinstance(reply.body, dict):
            self._send_pieces(reply.body)
        else:
            self._send(reply)

    def _send_pieces(self, body: Any) -> None:
        """The text of a completion in events of three characters, with white space around it."""
        (choice,) = body["choices"]
        chat = "message" in choice
        text = f"\n {choice['message']['content'] if chat else choice['text']} \n"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for at in range(0, len(text), 3):
            piece = {"delta": {"content": text[at : at + 3]}} if chat else {"text": text[at : at + 3]}
            self.wfile.write(f"data: {json.dumps({'choices': [piece]})}\n\n".encode())
        self.wfile.write(b'data: {"choices": []}\n\n: a comment\n\ndata: [DONE]\n\n')
        self.close_connection = True

    def _send(self, reply: Reply) -> None:
        if reply.status is None:
            self.close_connection = True
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve(model: Model) -> Iterator[ModelServer]:
    """The server, answering from a thread of this process until the block ends."""
    with ModelServer(model) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closed = True
            server.shutdown()
            thread.join()
