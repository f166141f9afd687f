"""Requests that got no answer."""


class HttpError(Exception):
    """A request got no answer; its text says why."""


class HttpTimeout(HttpError):
    """A request got no answer in time."""


class InvalidRequest(HttpError):
    """A request can't be made from what is given; its text is a sentence without the full stop."""
