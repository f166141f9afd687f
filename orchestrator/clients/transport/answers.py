"""Reading of answers: each field by name and type; a wrong one is an `InvalidAnswer` that names it."""

from typing import Any, NoReturn

from attrs import frozen

from orchestrator.clients.transport.json_text import loads, replace_halves
from orchestrator.errors import InvalidAnswer

_NAMES = {str: "a string", bool: "true or false", dict: "an object", list: "a list", int: "a whole number"}


def title(service: str) -> str:
    """Return the name of a service for messages, such as `Agent Execution`."""
    return service.replace("_", " ").title()


@frozen
class ServiceAnswer:
    """An object in an answer. Unknown fields are ignored: services may add some."""

    service: str
    fields: dict[str, Any]
    path: str = "$"
    accepted: bool = False
    """Whether the service has only accepted the work (202): the result comes later, as `task.*`."""
    halves: bool = False
    """Whether its texts may have half characters (`json_text`)."""

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; without a default the field is required."""
        value: str = self._get(name, str, default)
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number, 0 or more."""
        value = self._get(name, int, default)
        if isinstance(value, bool) or value < 0:
            self._wrong(name, "must be a whole number, 0 or more")
        return int(value)

    def truth(self, name: str, default: bool | None = None) -> bool:
        """Return a boolean."""
        return bool(self._get(name, bool, default))

    def mapping(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return an object, unchecked inside."""
        value: dict[str, Any] = self._get(name, dict, default)
        return value

    def inner(self, name: str) -> "ServiceAnswer":
        """Return an object in this one, for further reading."""
        return ServiceAnswer(self.service, self._get(name, dict, None), f"{self.path}.{name}")

    def items(self, name: str, default: list[Any] | None = None) -> list[Any]:
        """Return a list, unchecked inside."""
        value: list[Any] = self._get(name, list, default)
        return value

    def mappings(self, name: str, default: list[Any] | None = None) -> list[dict[str, Any]]:
        """Return a list of objects."""
        return self._all(name, self.items(name, default), dict)

    def texts(self, name: str, default: list[Any] | None = None) -> list[str]:
        """Return a list of strings."""
        return self._all(name, self.items(name, default), str)

    def _all(self, name: str, values: list[Any], kind: type) -> list[Any]:
        for index, value in enumerate(values):
            if not isinstance(value, kind):
                self._wrong(f"{name}[{index}]", f"must be {_NAMES[kind]}")
        return values

    def _get(self, name: str, kind: type, default: Any) -> Any:
        value = self.fields.get(name)
        if value is None:
            if default is None:
                self._wrong(name, "is missing")
            return default
        if not isinstance(value, kind):
            self._wrong(name, f"must be {_NAMES[kind]}")
        return value

    def _wrong(self, name: str, fault: str) -> NoReturn:
        raise InvalidAnswer(
            f"{title(self.service)} answered wrongly: {self.path}.{name} {fault}.", service=self.service
        )


def read_answer(service: str, status: int, raw: bytes) -> ServiceAnswer:
    """Read the body of an answer of status 2xx.

    Raises:
        InvalidAnswer: the body is not a JSON object.
    """
    return as_answer(service, parse_json(service, raw) if raw or status != 204 else {}, accepted=status == 202)


def parse_json(service: str, raw: bytes, verb: str = "answered") -> Any:
    """Parse JSON; half characters are replaced, and InvalidAnswer is raised where it is something else."""
    value, halves = parse_halves(service, raw, verb)
    return whole_characters(service, value) if halves else value


def parse_halves(service: str, raw: bytes, verb: str = "answered") -> tuple[Any, bool]:
    """Parse JSON; returns the value, and whether it may have half characters. Raises as `parse_json` does."""
    try:
        return loads(raw)
    except ValueError:
        raise InvalidAnswer(f"{title(service)} {verb} something else than JSON.", service=service) from None


def whole_characters(service: str, value: Any) -> Any:
    """Replace the half characters of a parsed value; InvalidAnswer where it is nested too deeply."""
    try:
        return replace_halves(value)
    except ValueError as error:
        raise InvalidAnswer(f"{title(service)} answered wrongly: {error}.", service=service) from None


def as_answer(service: str, value: Any, *, accepted: bool = False) -> ServiceAnswer:
    """Wrap a parsed body.

    Raises:
        InvalidAnswer: the body is not an object.
    """
    if not isinstance(value, dict):
        raise InvalidAnswer(f"{title(service)} answered wrongly: the body is no object.", service=service)
    return ServiceAnswer(service, value, accepted=accepted)
