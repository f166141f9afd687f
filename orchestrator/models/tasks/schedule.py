"""Schedules: messages that are sent to an agent again and again, at moments that a cron expression names."""

from enum import StrEnum
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.models.common.cron import cron_fault, timezone_fault
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.sessions.chat import Content
from orchestrator.models.sessions.session import Metadata


class SessionPolicy(StrEnum):
    """In which session the runs of a schedule take place."""

    FRESH = "fresh"
    KEPT = "kept"


class MissedRuns(StrEnum):
    """What becomes of runs whose moment passed while the service was down."""

    RUN_ONCE = "run_once"
    SKIP = "skip"


Cron = Annotated[
    str,
    Meta(
        max_length=120,
        description="Minute, hour, day of month, month, day of week, as cron reads them.",
        examples=["0 8 * * MON-FRI"],
        extra={"check": cron_fault},
    ),
]
Timezone = Annotated[
    str,
    Meta(
        max_length=64,
        description="By whose clocks the expression is read: a name of the IANA database.",
        examples=["Europe/Madrid"],
        extra={"check": timezone_fault},
    ),
]
ScheduleSession = Annotated[
    SessionPolicy, Meta(description="`fresh`: each run has a session of its own; `kept`: all runs share one.")
]
Missed = Annotated[
    MissedRuns,
    Meta(description="Runs that were missed while the service was down: `run_once` for all of them, or `skip`."),
]
Enabled = Annotated[bool, Meta(description="Whether it runs at all.")]


@frozen
class ScheduleCreate:
    """What `schedule.create` takes."""

    cron: Cron
    agent_id: Annotated[Id, Meta(description="The agent that is asked.")]
    content: Content
    timezone: Timezone = "UTC"
    session: ScheduleSession = SessionPolicy.FRESH
    missed: Missed = MissedRuns.RUN_ONCE
    enabled: Enabled = True
    metadata: Metadata | None = None


@frozen
class ScheduleUpdate:
    """What `schedule.update` takes; what is left out stays as it is."""

    cron: Cron | None = None
    agent_id: Id | None = None
    content: Content | None = None
    timezone: Timezone | None = None
    session: ScheduleSession | None = None
    missed: Missed | None = None
    enabled: Enabled | None = None
    metadata: Metadata | None = None


@frozen
class Schedule:
    """A schedule, and how it goes."""

    schedule_id: Id
    tenant_id: Id
    user_id: Annotated[Id, Meta(description="On whose behalf it runs.")]
    cron: Cron
    agent_id: Id
    content: Content
    timezone: Timezone
    session: ScheduleSession
    missed: Missed
    enabled: Enabled
    created_at: Timestamp
    updated_at: Timestamp
    next_at: Annotated[Timestamp | None, Meta(description="When it runs next.")] = None
    last_run_at: Annotated[Timestamp | None, Meta(description="The moment that it ran for last.")] = None
    last_task_id: Annotated[Id | None, Meta(description="The turn that came of it.")] = None
    last_error: Annotated[str | None, Meta(description="Why no turn came of it.")] = None
    session_id: Annotated[Id | None, Meta(description="The session of its last run.")] = None
    metadata: Metadata | None = None


@frozen
class ScheduleDeleted:
    """A schedule that is no more; turns that came of it are left alone."""

    schedule_id: Id
    deleted: bool
