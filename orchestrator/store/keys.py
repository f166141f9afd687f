"""The names of all keys in Redis; no module but this and `service_keys` writes a key.

With `hash_tags` the tenant stands in braces, so that Redis Cluster keeps all keys of a tenant in one slot.
"""

from attrs import frozen

from orchestrator.models.tasks.task import Lane
from orchestrator.store.service_keys import ServiceKeys


@frozen
class Keys(ServiceKeys):
    """Renders keys."""

    def session(self, tenant_id: str, session_id: str) -> str:
        """Hash: state, context, agent, counters, `offset` and `epoch` of the event log."""
        return f"orchestrator:session:{self.tenant(tenant_id)}:{session_id}"

    def events(self, tenant_id: str, session_id: str, *, packed: bool = False) -> str:
        """Stream: the session's event log, with ids `0-offset`; packed, a list of its older events."""
        return f"{self.session(tenant_id, session_id)}:events{':packed' if packed else ''}"

    def history(self, tenant_id: str, session_id: str) -> str:
        """Stream: the last messages of the conversation."""
        return f"{self.session(tenant_id, session_id)}:history"

    def turns(self, tenant_id: str, session_id: str) -> str:
        """List: tasks that wait until the session's active task has ended, oldest first."""
        return f"{self.session(tenant_id, session_id)}:turns"

    def states(self, tenant_id: str, session_id: str) -> str:
        """List: the last state transitions, newest first."""
        return f"{self.session(tenant_id, session_id)}:states"

    def sessions(self, tenant_id: str) -> str:
        """Sorted set: the tenant's sessions by last activity (ms)."""
        return f"orchestrator:sessions:{self.tenant(tenant_id)}"

    def user_sessions(self, tenant_id: str, user_id: str) -> str:
        """Sorted set: one user's sessions by last activity (ms)."""
        return f"orchestrator:sessions:{self.tenant(tenant_id)}:user:{user_id}"

    def session_timers(self, tenant_id: str) -> str:
        """Sorted set: sessions by the moment (ms) of their next idle transition."""
        return f"orchestrator:sessions:{self.tenant(tenant_id)}:timers"

    def turns_waiting(self, tenant_id: str) -> str:
        """Hash: how many turns wait behind the active one of each session; under the empty name, how many in all."""
        return f"orchestrator:sessions:{self.tenant(tenant_id)}:turns"

    def open_sessions(self, tenant_id: str) -> str:
        """Sorted set: open sessions by the moment (ms) at which their time is over."""
        return f"orchestrator:sessions:{self.tenant(tenant_id)}:open"

    def ended_sessions(self, tenant_id: str) -> str:
        """Sorted set: ended sessions, each with its user, by the moment (ms) at which their records go."""
        return f"orchestrator:sessions:{self.tenant(tenant_id)}:ended"

    def kept(self, tenant_id: str) -> str:
        """Hash: how many bytes are kept of the tenant, an estimate."""
        return f"orchestrator:kept:{self.tenant(tenant_id)}"

    def feed(self, tenant_id: str) -> str:
        """Hash: `offset` and `epoch` of the log of all that happens to the tenant, while that is followed."""
        return f"orchestrator:feed:{self.tenant(tenant_id)}"

    def event_channel(self, tenant_id: str, session_id: str) -> str:
        """Channel: every event of the session as it is appended."""
        return f"orchestrator:events:{self.tenant(tenant_id)}:{session_id}"

    def message(self, tenant_id: str, message_id: str) -> str:
        """Hash: the session, user and task that a message belongs to; of the first user who had its id."""
        return f"orchestrator:message:{self.tenant(tenant_id)}:{message_id}"

    def user_message(self, tenant_id: str, message_id: str, user_id: str) -> str:
        """Hash: the same of a message whose id another user had before."""
        return f"{self.message(tenant_id, message_id)}:{user_id}"

    def ticket(self, digest: str) -> str:
        """String: what a WebSocket ticket stands for; lives until it is used."""
        return f"orchestrator:ticket:{digest}"

    # Tasks
    def task(self, tenant_id: str, task_id: str) -> str:
        """Hash: the task's record."""
        return f"orchestrator:task:{self.tenant(tenant_id)}:{task_id}"

    def owner(self, tenant_id: str, kind: str, name: str) -> str:
        """String: the user of a conversation or an execution without record of its own, or the task of an execution."""
        return f"orchestrator:owner:{self.tenant(tenant_id)}:{kind}:{name}"

    def lane(self, tenant_id: str, lane: Lane) -> str:
        """Stream: one lane of the tenant's task queue."""
        queue = f"orchestrator:tasks:{self.tenant(tenant_id)}"
        return queue if lane is Lane.NORMAL else f"{queue}:{lane}"

    def cursors(self, tenant_id: str) -> str:
        """Hash: the entry that was claimed last of each lane."""
        return f"orchestrator:tasks:{self.tenant(tenant_id)}:cursors"

    def delayed(self, tenant_id: str) -> str:
        """Sorted set: tasks that are due later, by moment (ms)."""
        return f"orchestrator:tasks:{self.tenant(tenant_id)}:delayed"

    def task_index(self, tenant_id: str) -> str:
        """Sorted set: all tasks of the tenant by acceptance (ms)."""
        return f"orchestrator:tasks:{self.tenant(tenant_id)}:index"

    def ended_index(self, tenant_id: str, status: str) -> str:
        """Sorted set: tasks that have ended so (`failed`, `cancelled`, `partial`), by acceptance (ms)."""
        return f"{self.task_index(tenant_id)}:{status}"

    def ended_indexed(self, tenant_id: str) -> str:
        """String: that all tasks which ended before there was an index of their status are in it."""
        return f"{self.task_index(tenant_id)}:whole"

    def parked(self, tenant_id: str) -> str:
        """Stream: tasks that a drain has put aside."""
        return f"orchestrator:tasks:{self.tenant(tenant_id)}:parked"

    def users(self, tenant_id: str) -> str:
        """Hash: each user's task in the lanes, where users share fairly; under the empty name, how many wait behind."""
        return f"orchestrator:tasks:{self.tenant(tenant_id)}:users"

    def user_tasks(self, tenant_id: str, user_id: str) -> str:
        """List: a user's tasks that wait behind the one in the lanes, where users share fairly."""
        return f"orchestrator:tasks:{self.tenant(tenant_id)}:user:{user_id}"

    def dead_letters(self, tenant_id: str) -> str:
        """Stream: what could not be done."""
        return f"orchestrator:dlq:{self.tenant(tenant_id)}"

    def deduplication(self, tenant_id: str, key: str) -> str:
        """Hash: the task that has this deduplication key, and what its request was answered."""
        return f"orchestrator:deduplication:{self.tenant(tenant_id)}:{key}"

    def schedule(self, tenant_id: str, schedule_id: str) -> str:
        """Hash: a schedule."""
        return f"orchestrator:schedule:{self.tenant(tenant_id)}:{schedule_id}"

    def schedules(self, tenant_id: str) -> str:
        """Sorted set: the tenant's schedules by creation (ms)."""
        return f"orchestrator:schedules:{self.tenant(tenant_id)}"

    def schedules_due(self, tenant_id: str) -> str:
        """Sorted set: schedules by their next run (ms)."""
        return f"{self.schedules(tenant_id)}:due"

    def probe(self, node: str) -> str:
        """String: written by a process to see whether it can; nothing reads it."""
        return f"orchestrator:probe:{node}"

    @property
    def generation(self) -> str:
        """String: a random name of what Redis holds, which goes when Redis is emptied."""
        return "orchestrator:generation"

    def idempotency(self, tenant_id: str, user_id: str, key: str) -> str:
        """Hash: what a request with this idempotency key was, and what it was answered."""
        return f"orchestrator:idempotency:{self.tenant(tenant_id)}:{user_id}:{key}"

    def trace(self, tenant_id: str, correlation_id: str, *user: str) -> str:
        """List: the tasks of a request of its first user, or of another `user`; for `""` the set of the others."""
        return ":".join((f"orchestrator:trace:{self.tenant(tenant_id)}", correlation_id, *user))

    def callbacks(self, tenant_id: str, name: str) -> str:
        """List: the attempts to tell of a task's or a batch's end, newest first."""
        return f"orchestrator:callbacks:{self.tenant(tenant_id)}:{name}"

    def batch(self, tenant_id: str, batch_id: str) -> str:
        """Hash: the batch's record, `offset` and `epoch` of its event log."""
        return f"orchestrator:batch:{self.tenant(tenant_id)}:{batch_id}"

    def batch_items(self, tenant_id: str, batch_id: str) -> str:
        """Hash: the items by place, as they were sent."""
        return f"{self.batch(tenant_id, batch_id)}:items"

    def batch_results(self, tenant_id: str, batch_id: str) -> str:
        """Hash: what became of the items that have ended, by place."""
        return f"{self.batch(tenant_id, batch_id)}:results"

    def batch_window(self, tenant_id: str, batch_id: str) -> str:
        """Set: the places of the items that are tasks and have not ended."""
        return f"{self.batch(tenant_id, batch_id)}:window"

    def batches(self, tenant_id: str) -> str:
        """Sorted set: the tenant's batches by acceptance (ms)."""
        return f"orchestrator:batches:{self.tenant(tenant_id)}"

    def batches_waiting(self, tenant_id: str) -> str:
        """Hash: how many items of each open batch are no tasks yet."""
        return f"{self.batches(tenant_id)}:waiting"

    # Tenants
    def damaged(self, tenant_id: str, key: str) -> str:
        """Any: what was found in the place of another key of the tenant, and is of the wrong type for that."""
        return f"orchestrator:damaged:{self.tenant(tenant_id)}:{key.partition(':')[2]}"

    def damaged_shared(self, key: str) -> str:
        """Any: the same of a key that all tenants share, which as hash tag keeps it in its slot of Redis Cluster."""
        return f"orchestrator:system:damaged:{{{key}}}"

    def tenant_config(self, tenant_id: str) -> str:
        """Hash: state, limits and weights of a tenant."""
        return f"orchestrator:tenant:{self.tenant(tenant_id)}:config"

    def tenant_audit(self, tenant_id: str, kind: str) -> str:
        """Stream: what is audited of a tenant, of one kind: `administration`, `activity` or `refusals`."""
        return f"orchestrator:audit:tenant:{self.tenant(tenant_id)}:{kind}"

    def tenant_limit(self, tenant_id: str) -> str:
        """String: the tenant's rate limit (GCRA)."""
        return f"orchestrator:limits:{self.tenant(tenant_id)}"

    def user_limit(self, tenant_id: str, user_id: str) -> str:
        """String: a user's rate limit (GCRA)."""
        return f"orchestrator:limits:{self.tenant(tenant_id)}:user:{user_id}"

    def class_limit(self, tenant_id: str, rate_class: str) -> str:
        """String: the tenant's rate limit of a class of requests (GCRA): `read`, `write` or `stream`."""
        return f"orchestrator:limits:{self.tenant(tenant_id)}:class:{rate_class}"

    def admin_limit(self, key_name: str) -> str:
        """String: the rate limit of an API key on routes of administration (GCRA)."""
        return f"orchestrator:admin:{key_name}:rate"

    def start_limit(self, tenant_id: str) -> str:
        """String: the rate at which the tenant's tasks may start (GCRA)."""
        return f"orchestrator:limits:{self.tenant(tenant_id)}:starts"

    def usage(self, tenant_id: str, day: str) -> str:
        """Hash: tokens spent on a day (`yyyymmdd`), by what they were spent on."""
        return f"orchestrator:usage:{self.tenant(tenant_id)}:{day}"

    def user_usage(self, tenant_id: str, day: str, user_id: str) -> str:
        """Hash: tokens that a user has spent on a day, by what they were spent on."""
        return f"{self.usage(tenant_id, day)}:user:{user_id}"

    def settlement(self, tenant_id: str, name: str) -> str:
        """String: that the usage of one call has been counted."""
        return f"orchestrator:usage:{self.tenant(tenant_id)}:settled:{name}"

    def budget(self, tenant_id: str, period: str) -> str:
        """Hash: tokens `used` and `reserved` in a day (`yyyymmdd`) or month (`yyyymm`), in all and by model."""
        return f"orchestrator:budget:{self.tenant(tenant_id)}:{period}"

    def call(self, tenant_id: str, call_id: str) -> str:
        """Hash: a call of the gateway that is open, with what is needed to ask again."""
        return f"orchestrator:call:{self.tenant(tenant_id)}:{call_id}"

    def calls(self, tenant_id: str) -> str:
        """Sorted set: the tenant's open calls by the moment (ms) at which they have to be looked after."""
        return f"orchestrator:calls:{self.tenant(tenant_id)}"

    def default_models(self, tenant_id: str) -> str:
        """Hash: the model that answered last where none was named, by kind of call."""
        return f"orchestrator:calls:{self.tenant(tenant_id)}:models"

    def answer(self, tenant_id: str, kind: str, digest: str) -> str:
        """String: an answer in the cache."""
        return f"{self.answers(tenant_id)}:{kind}:{digest}"

    def answers(self, tenant_id: str) -> str:
        """Sorted set: the tenant's answers in the cache, with their sizes, by the moment (ms) they were kept."""
        return f"orchestrator:cache:{self.tenant(tenant_id)}"

    def notifications(self, tenant_id: str) -> str:
        """Stream: what the tenant's users are notified of, all of them."""
        return f"orchestrator:notifications:{self.tenant(tenant_id)}"

    def user_notifications(self, tenant_id: str, user_id: str) -> str:
        """Hash: `epoch` and `offset` of the user's event log, and what of the tenant's notifications it has."""
        return f"{self.notifications(tenant_id)}:{user_id}"

    def address_limit(self, address: str) -> str:
        """String: the rate limit (GCRA) of an address, or of a network of IPv6."""
        return f"orchestrator:address:{address}"

    def address_failures(self, address: str) -> str:
        """String: how many credentials of an address have failed within a time."""
        return f"orchestrator:address:{address}:failures"

    # The whole service
    tenants: str = "orchestrator:tenants"
    """Set: all tenants that ever had a session."""
    ready: str = "orchestrator:ready"
    """Sorted set: tenants with claimable work, by virtual time."""
    debts: str = "orchestrator:ready:debts"
    """Sorted set: tenants without work whose virtual time is ahead of the clock."""
    clock: str = "orchestrator:ready:clock"
    """String: the largest virtual time that was served from."""
    weights: str = "orchestrator:ready:weights"
    """Hash: weights of tenants that have another one than 1."""
    due: str = "orchestrator:due"
    """Sorted set: tenants by their next delayed task (ms)."""
    doubts: str = "orchestrator:doubts"
    """Sorted set: tenants with open calls of the gateway, by the moment (ms) at which to look after them."""
    task_update_stream: str = "orchestrator:task_news"
    """Stream: what services tell of delegated work, where they speak through queues."""
    memory_walk: str = "orchestrator:memory_walk"
    """Hash: how far the walk over all keys is, and the bytes that it has found of each tenant."""
    nodes: str = "orchestrator:nodes"
    """Sorted set: processes by last heartbeat (ms)."""
    loads: str = "orchestrator:nodes:loads"
    """Hash: what each process has in hand, JSON by process."""
    revocations: str = "orchestrator:revocations"
    """Sorted set: revoked tokens, JSON each, by the moment (ms) when they would have expired."""
    notices: str = "orchestrator:system:notifications"
    """Stream: what processes tell each other and operators: breakers, processes, tenants."""
    audit: str = "orchestrator:audit:events"
    """Stream: what is audited of administration that concerns no tenant, and copies of tenants' entries.

    Of older versions, everything.
    """
    audit_copies: str = "orchestrator:audit:copies"
    """List: the ids of the copies in it."""
    audit_refusals: str = "orchestrator:audit:refusals"
    """Stream: audited refusals of those who have not shown whose they are."""
    audit_keys: str = "orchestrator:audit:keys"
    """Stream: audited uses of API keys."""
    audit_tenants: str = "orchestrator:audit:tenants"
    """Sorted set: tenants by the moment (ms) of about their last audited entry."""
    intake: str = "orchestrator:intake"
    """Stream: rung by other programs that have written into a lane; a ring has the field `tenant`."""
    intake_reader: str = "orchestrator:nodes:intake"
    """String: the process that looks for such entries, for all."""
    wake_channel: str = "orchestrator:wake"
    """Channel: a tenant has work."""
    api_keys: str = "orchestrator:api_keys"
    """Hash: API keys, JSON by id, with a hash of each in place of the key."""
    api_key_uses: str = "orchestrator:api_keys:uses"
    """Hash: when each API key was used last (ms)."""
    api_key_channel: str = "orchestrator:api_keys:changed"
    """Channel: an API key was made, rotated or revoked."""
    revocation_channel: str = "orchestrator:revoked"
    """Channel: every revocation as it is made."""
    answer_channel: str = "orchestrator:answered"
    """Channel: the key of an answer that is waited for, and that is there now, or never will be."""
    notification_channel: str = "orchestrator:notified"
    """Channel: a user, or a tenant's every user, is notified."""
    catalog_channel: str = "orchestrator:catalog"
    """Channel: an agent or a tool has changed."""
    cancel_channel: str = "orchestrator:cancel"
    """Channel: a running task shall stop."""
