"""The one exception that means: what was passed in is wrong, not the program."""


class InputError(Exception):
    """A mistake of the user's, told in one line: where it is, what it is, what to do.

    The command line prints it and exits with code 2; every other exception is a bug of ours and
    keeps its traceback. The message never quotes report text: messages end up in logs.
    """


class EndpointError(InputError):
    """Another server does not answer as it should: the mistake, if it is one, is not in what was asked.

    `param`: the field of our request that it says it does not take.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
