"""Errors as the OpenAI API shapes them, without a word of what was sent."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

INVALID = "invalid_request_error"
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_FIELD = re.compile(r"(?!body$|str$)[a-z_]+|\d+")
_TOLD = {404: "there is nothing at this path", 405: "this path does not take this method"}


class ApiError(Exception):
    """An answer other than success. The message says what to do and never quotes the request."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else {}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"

    def render(self) -> dict[str, Any]:
        """The body."""
        kind = _TYPES.get(self.status, INVALID if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.render(), self.status, self.headers)


# (path, error) -> the answer: some paths speak another language than the rest.
Tell = Callable[[str, ApiError], Response]


def tell_plainly(_: str, error: ApiError) -> Response:
    """As the OpenAI API does, whatever the path."""
    return error.response()


def add_error_handlers(app: FastAPI, tell: Tell = tell_plainly) -> None:
    """Answer every expected error as `tell` does; what is not expected is caught around the app."""

    @app.exception_handler(ApiError)
    def _ours(request: Request, error: ApiError) -> Response:
        return tell(request.scope["path"], error)

    @app.exception_handler(HTTPException)
    def _theirs(request: Request, error: HTTPException) -> Response:
        message = _TOLD.get(error.status_code, "the request cannot be read")
        answer = tell(request.scope["path"], ApiError(error.status_code, message))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    def _unfit(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        param, message = describe_problem(first)
        more = len(error.errors()) - 1
        told = ApiError(400, message + (f" (and {more} more)" if more else ""), "invalid_value", param)
        return tell(request.scope["path"], told)


def describe_problem(problem: Any) -> tuple[str | None, str]:
    """(the field's name, what is wrong with it) of one of pydantic's errors.

    Neither the value nor the name of an unknown field is told: both were sent, and may hold anything.
    """
    # Where a field may be one thing or another, pydantic names the kind it tried too.
    kind, place = problem["type"], [str(part) for part in problem["loc"] if _FIELD.fullmatch(str(part))]
    if kind == "extra_forbidden":
        where = ".".join(place[:-1])
        return where or None, f"unknown field{f' in {where}' if where else ''}; it is refused rather than ignored"
    if kind == "json_invalid":
        return None, "the body is not JSON"
    where = ".".join(place)
    return where or None, f"{where}: {problem['msg']}" if where else str(problem["msg"])
