"""The columns of the tables of `top`, and the rows that they are made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import frozen
from rich.text import Text

from cli.core.output import age
from cli.display.glyphs import printable
from cli.display.waterfall import duration

Record = Mapping[str, Any]
_BAD: Final = frozenset({"damaged", "drained", "failed", "open", "gone", "expired"})
_NOTABLE: Final = frozenset({"paused", "draining", "half_open", "cancelled", "partial"})


@frozen
class Column:
    """A column: its heading, and what it shows of a record."""

    title: str
    read: Callable[[Record], Any]
    """The value, which rows are sorted by; None comes last."""
    say: Callable[[Any], str] = str
    right: bool = False

    def cell(self, record: Record) -> Text:
        """Return the cell of a record."""
        value = self.read(record)
        said = "" if value is None else printable(self.say(value)).replace("\n", " ")
        style = "red" if value in _BAD else "yellow" if value in _NOTABLE else ""
        return Text(said, style, justify="right" if self.right else "left", no_wrap=True)


@frozen
class TableKind:
    """A table: its columns, what identifies a record, and what is said where there are none."""

    columns: Sequence[Column]
    key: Callable[[Record], str]
    nothing: str


def _field(*path: str) -> Callable[[Record], Any]:
    def read(record: Record) -> Any:
        value: Any = record
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    return read


def _number(title: str, *path: str, say: Callable[[Any], str] = str) -> Column:
    return Column(title, _field(*path), say, right=True)


def _slots(record: Record) -> str | None:
    """Return how many slots a process uses at present, of all that it has."""
    slots, limit = _field("load", "slots")(record), _field("load", "limit")(record)
    return None if slots is None else f"{limit}/{slots}" if limit else str(slots)


def _rate(value: float) -> str:
    return f"{value:.1f}"


def _milliseconds(value: float) -> str:
    return duration(round(value))


def _clock(timestamp: str) -> str:
    return datetime.fromisoformat(timestamp).strftime("%m-%d %H:%M:%S")


TENANTS: Final = TableKind(
    (
        Column("TENANT", _field("tenant_id")),
        Column("STATE", lambda record: "damaged" if record.get("damage") else record["state"]),
        _number("BACKLOG", "backlog"),
        _number("HIGH", "depth", "high"),
        _number("NORM", "depth", "normal"),
        _number("LOW", "depth", "low"),
        _number("RUN", "in_hand"),
        _number("LATER", "delayed"),
        _number("DLQ", "dead_letters"),
        _number("OLDEST", "oldest_waiting", say=age),
        _number("/MIN", "accepted_per_minute"),
    ),
    lambda record: str(record["tenant_id"]),
    "No tenant has work.",
)
NODES: Final = TableKind(
    (
        Column("NODE", _field("node")),
        Column("HOST", _field("load", "host")),
        _number("PID", "load", "pid"),
        _number("RUN", "load", "in_hand"),
        Column("SLOTS", _slots, right=True),
        _number("ENDS/S", "load", "ends_per_second", say=_rate),
        _number("P50", "load", "waits", "p50_ms", say=_milliseconds),
        _number("P99", "load", "waits", "p99_ms", say=_milliseconds),
        Column("STATE", lambda record: "live" if record["live"] else "gone"),
        _number("BEAT", "heartbeat_age_ms", say=_milliseconds),
        Column("VERSION", _field("load", "version")),
    ),
    lambda record: str(record["node"]),
    "No process runs.",
)
SERVICES: Final = TableKind(
    (
        Column("SERVICE", _field("service")),
        Column("BREAKER", _field("state")),
        _number("NODES", "nodes"),
        _number("CALLS", "calls"),
        _number("OLDEST", "oldest", say=age),
        Column("CALLEE", _field("callee")),
        Column("TENANT", _field("tenant_id")),
    ),
    lambda record: "\n".join((record["service"], record["tenant_id"], record["callee"])),
    "All breakers are closed, and no call has been open for longer than a second.",
)
EVENTS: Final = TableKind(
    (
        Column("AT", _field("at"), _clock),
        Column("EVENT", _field("name")),
        Column("ABOUT", lambda record: " ".join(f"{name}={value}" for name, value in record["about"].items())),
        Column("NODE", _field("node")),
    ),
    lambda record: "\n".join((record["at"], record["name"], record["node"], str(record["about"]))),
    "Nothing has happened to the service lately.",
)
TASKS: Final = TableKind(
    (
        Column("TASK", _field("task_id")),
        Column("STATUS", _field("status")),
        _number("AGE", "created_at", say=age),
        Column("ERROR", _field("error", "code")),
        Column("TYPE", _field("type")),
        _number("TRIES", "attempt"),
        Column("USER", _field("user_id")),
        Column("AGENT", _field("agent_id")),
    ),
    lambda record: str(record["task_id"]),
    "There are no such tasks.",
)


def service_records(load: Record) -> list[Record]:
    """Return a record for each service or callee that has a breaker open, or a call that has been open for long.

    Args:
        load: `orchestrator.load`, as the API returns it; parts that an older service does not tell of may be missing.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}

    def of(service: str, tenant_id: str, callee: str) -> dict[str, Any]:
        empty = {"service": service, "tenant_id": tenant_id, "callee": callee, "state": "closed", "nodes": None}
        return found.setdefault((service, tenant_id, callee), {**empty, "calls": 0, "oldest": None})

    for service, count in load.get("breakers", {}).items():
        of(service, "", "").update(state=_worst_state(load, service), nodes=count)
    for one in load.get("callee_breakers", ()):
        of(one["service"], one["tenant_id"], one["callee"]).update(state=one["state"])
    for call in _open_calls(load):
        record = of(call["call"].partition(".")[0], call["tenant_id"], call.get("callee", ""))
        record["calls"] += 1
        record["oldest"] = min(call["since"], record["oldest"] or call["since"])
    return list(found.values())


def _worst_state(load: Record, service: str) -> str:
    states = {((node["load"] or {}).get("breakers") or {}).get(service) for node in load["nodes"]}
    return "open" if "open" in states or states == {None} else "half_open"


def _open_calls(load: Record) -> Iterator[Record]:
    for node in load["nodes"]:
        yield from (node["load"] or {}).get("open_calls", ())


def arranged(
    records: Sequence[Record], columns: Sequence[Column], *, sort: int | None, reverse: bool, wanted: str
) -> list[Record]:
    """Return the records that a filter leaves, in order.

    Args:
        records: the records, in the order of the service.
        columns: of the table.
        sort: the number of the column to sort by; None: the order stays.
        reverse: whether the highest come first.
        wanted: text that a cell of each record contains, in upper or lower case; empty: all.
    """
    words = wanted.casefold()
    kept = [
        one for one in records if not words or any(words in column.cell(one).plain.casefold() for column in columns)
    ]
    if sort is None:
        return kept[::-1] if reverse else kept
    read = columns[sort].read
    known = sorted((one for one in kept if read(one) not in {None, ""}), key=read, reverse=reverse)
    return known + [one for one in kept if read(one) in {None, ""}]
