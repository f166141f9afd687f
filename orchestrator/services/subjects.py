"""What a socket or a stream may follow: how it is greeted, and which event is the last one."""

from collections.abc import AsyncIterator
from typing import Final, Protocol

import orjson
from attrs import evolve

from orchestrator.codec import structure_kept
from orchestrator.domain.session_states import CLOSED
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.errors import NotFound, PermissionMissing
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import Event, StateUpdate, ToolExecute
from orchestrator.models.plans.workflow import RunKind, WorkflowStatus, WorkflowStatusUpdate
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.batch import ENDED, Batch, BatchProgress
from orchestrator.services.container import Services
from orchestrator.store.events.events import EventLog, words_of
from orchestrator.store.records import readable

REQUESTS_WITHIN: Final = 200
"""Events at the end of a log among which the requests of a waiting turn are."""
SESSION_PERMISSION: Final = "session:read"
WORKFLOW_PERMISSION: Final = "workflow:read"
_STATE_UPDATE: Final = "session.state_update"
_PROGRESS: Final = "batch.progress"
_STATUS: Final = "workflow.status_update"
_REQUEST: Final = "workflow.input_request"


class Subject(Protocol):
    """What one reader follows."""

    @property
    def converses(self) -> bool:
        """Whether clients may talk with it, as with a session."""

    @property
    def task_id(self) -> str | None:
        """The workflow's task, if it is one."""

    @property
    def owner_id(self) -> str:
        """In whose log its events are, and under which name they are published."""

    @property
    def log(self) -> EventLog:
        """Where its missed events are."""

    async def look(self, ctx: RequestContext) -> None:
        """See how it stands now; raises NotFound, or what says that it can't be followed."""

    async def greeting(self, *, recovered: bool) -> list[tuple[str, object]]:
        """Return the events (name, data) that say how it stood; where events are lost, with what replaces them."""

    async def beginning(self) -> int | None:
        """Return the offset behind which a client begins that names none; None: at the end of the log."""

    def over(self) -> str | None:
        """Say in a few words why nothing follows any more, as far as is known; None: something may."""

    def ending(self, event: Event) -> str | None:
        """Say in a few words why nothing follows `event`; None: something may."""


class SessionSubject:
    """A session.

    Args:
        services: the application.
        session_id: the session.
    """

    converses = True
    task_id = None

    def __init__(self, services: Services, session_id: str) -> None:
        self.log = services.event_log
        self.owner_id = session_id
        self._services = services
        self._session_id = session_id
        self._session: Session | None = None

    async def look(self, ctx: RequestContext) -> None:
        """See how the session stands; the first time it must be one that can be connected to."""
        sessions = self._services.sessions
        first = self._session is None
        self._session = await (sessions.connected if first else sessions.get)(ctx, self._session_id)

    async def greeting(self, *, recovered: bool) -> list[tuple[str, object]]:
        """Return the state; and a snapshot where events are lost."""
        session = self._session
        if session is None:
            raise NotFound("There is no such session.")
        state = StateUpdate(
            session.session_id,
            session.state,
            session.state_code,
            recovered=recovered,
            active_task_id=session.active_task_id,
            agent_id=session.agent_id,
            agent_version=session.pinned_version,
        )
        events: list[tuple[str, object]] = [("session.state_update", state)]
        if not recovered:
            snapshot, waits = await self._services.transcripts.snapshot(session)
            requests = [request async for request in self._tool_requests(session, waits)]
            events.append(("session.snapshot", evolve(snapshot, tool_requests=requests)))
        return events

    async def beginning(self) -> int | None:
        """Return the place before the running turn: who comes in its middle sees it whole, from its acceptance on."""
        session = self._session
        if session is None or session.active_task_id is None:
            return None
        return await self._services.transcripts.turn_begins(session)

    async def _tool_requests(self, session: Session, waits: frozenset[str]) -> AsyncIterator[ToolExecute]:
        """Read what the client is asked to run from the end of the log: a turn that waits emits nothing more."""
        if not waits:
            return
        head, _ = await self.log.head(session.tenant_id, session.session_id)
        after = max(head - REQUESTS_WITHIN, 0)
        events = await self.log.read(
            session.tenant_id, session.session_id, after=after, limit=REQUESTS_WITHIN, sound_only=True
        )
        asked = [event for event in events if event.name == "tool.execute"]
        for request in readable(_tool_request, asked):
            if request.tool_call_id in waits:
                yield request

    def over(self) -> str | None:
        """Say nothing: a closed session is refused at the door, and told by its last event."""
        return None

    def ending(self, event: Event) -> str | None:
        """Return why, where the session is closed."""
        return _session_end(event)


class BatchSubject:
    """A batch: every event of it says how far it is, so nothing is missing where some are lost.

    Args:
        services: the application.
        batch_id: the batch.
    """

    converses = False
    task_id = None

    def __init__(self, services: Services, batch_id: str) -> None:
        self.log = services.batch_log
        self.owner_id = batch_id
        self._services = services
        self._batch_id = batch_id
        self._batch: Batch | None = None

    async def look(self, ctx: RequestContext) -> None:
        """See how the batch stands."""
        self._batch = await self._services.batches.get(ctx, self._batch_id)

    async def greeting(self, *, recovered: bool) -> list[tuple[str, object]]:
        """Return how far the batch is."""
        batch = self._batch
        if batch is None:
            raise NotFound("There is no such batch.")
        progress = BatchProgress(
            batch.batch_id, batch.completed, batch.failed, batch.total, batch.cancelled, batch.status
        )
        return [(_PROGRESS, progress)]

    async def beginning(self) -> None:
        """Begin at the end: the greeting says all that matters."""

    def over(self) -> str | None:
        """Return why, where the batch had ended when it was looked at."""
        return "batch ended" if self._batch is not None and self._batch.status in ENDED else None

    def ending(self, event: Event) -> str | None:
        """Return why, where the batch has ended."""
        ended = event.name == _PROGRESS and words_of(event).get("status") in ENDED
        return "batch ended" if ended else None


class WorkflowSubject:
    """A workflow: how it stands says what it asks, too, so nothing is missing where events are lost.

    Args:
        services: the application.
        task_id: its task.
    """

    converses = False

    def __init__(self, services: Services, task_id: str) -> None:
        self.log = services.task_log
        self.owner_id = task_id
        self.task_id: str | None = task_id
        self._services = services
        self._workflow: WorkflowStatus | None = None

    async def look(self, ctx: RequestContext) -> None:
        """See how the workflow stands."""
        self._workflow = await self._services.workflows.status(ctx, str(self.task_id))

    async def greeting(self, *, recovered: bool) -> list[tuple[str, object]]:
        """Return how far the workflow is, and what it asks."""
        workflow = self._workflow
        if workflow is None:
            raise NotFound("There is no such workflow.")
        events: list[tuple[str, object]] = [(_STATUS, _update(workflow))]
        return events if workflow.input_request is None else [*events, (_REQUEST, workflow.input_request)]

    async def beginning(self) -> None:
        """Begin at the end: the greeting says all that matters."""

    def over(self) -> str | None:
        """Return why, where the workflow had ended when it was looked at."""
        return "workflow ended" if self._workflow is not None and self._workflow.status in FINISHED else None

    def ending(self, event: Event) -> str | None:
        """Return why, where the workflow has ended."""
        ended = event.name == _STATUS and words_of(event).get("status") in FINISHED
        return "workflow ended" if ended else None


def _update(run: WorkflowStatus) -> WorkflowStatusUpdate:
    """Return the event that says how a run stands."""
    return WorkflowStatusUpdate(
        run.task_id,
        run.workflow_id,
        run.status,
        run.progress,
        run.steps_completed,
        run.steps_total,
        run.current_step,
        run.status_message,
    )


class TurnSubject:
    """A turn of a session, as a run: its events are those of the session, until it has ended.

    Args:
        services: the application.
        task_id: the turn's task.
        session_id: the session.
    """

    converses = False

    def __init__(self, services: Services, task_id: str, session_id: str) -> None:
        self.log = services.event_log
        self.owner_id = session_id
        self.task_id: str | None = task_id
        self._services = services
        self._turn: WorkflowStatus | None = None

    async def look(self, ctx: RequestContext) -> None:
        """See how the turn stands."""
        self._turn = await self._services.runs.status(ctx, str(self.task_id))

    async def greeting(self, *, recovered: bool) -> list[tuple[str, object]]:
        """Return how far the turn is."""
        if self._turn is None:
            raise NotFound("There is no such turn.")
        return [(_STATUS, _update(self._turn))]

    async def beginning(self) -> None:
        """Begin at the end."""

    def over(self) -> str | None:
        """Return why, where the turn had ended when it was looked at."""
        return "turn ended" if self._turn is not None and self._turn.status in FINISHED else None

    def ending(self, event: Event) -> str | None:
        """Return why, where the turn, or its session, has ended."""
        if event.name == "chat.status_update":
            told = words_of(event)
            ended = told.get("task_id") == self.task_id and told.get("status") not in {None, "queued", "processing"}
            return "turn ended" if ended else None
        return _session_end(event)


def _tool_request(event: Event) -> ToolExecute:
    return structure_kept(orjson.loads(event.body)["data"], ToolExecute)


def _session_end(event: Event) -> str | None:
    closed = event.name == _STATE_UPDATE and words_of(event).get("state") in CLOSED
    return "session closed" if closed else None


async def subject_of_run(services: Services, ctx: RequestContext, name: str) -> Subject:
    """Return what an id stands for: a batch, a workflow by its task or its execution, or the turn of a session.

    Raises:
        NotFound: there is none that the caller may see.
        PermissionMissing: it is a turn, and the token reads no sessions.
    """
    try:
        await services.batches.get(ctx, name)
    except NotFound:
        run = await services.runs.find(ctx, name)
    else:
        return BatchSubject(services, name)
    if run.kind is RunKind.BATCH:
        return BatchSubject(services, run.id)
    if run.kind is RunKind.WORKFLOW:
        return WorkflowSubject(services, run.id)
    task = await services.tasks.get(ctx, run.id)
    if task.session_id is None:
        raise NotFound(f"There is no workflow {name}.")
    if not ctx.principal.may(SESSION_PERMISSION):
        raise PermissionMissing(f"The token lacks the permission '{SESSION_PERMISSION}'.")
    return TurnSubject(services, run.id, task.session_id)
