"""The settings of the service, as attrs classes.

Each comes from the environment: `ORCH_` and the field's name in capitals, nested ones joined by `__`
(`ORCH_SERVICES__QUERY__URL`). Durations are in seconds. `config.loading` reads and checks them.
"""

from collections.abc import Mapping

from attrs import field, frozen

from orchestrator.config.checks import (
    api_key,
    at_least,
    between,
    certificate_subject,
    each,
    encryption_key,
    host_and_port,
    host_pattern,
    http_url,
    network,
    network_or_host,
    one_of,
    optional,
    own_url,
    redis_url,
)
from orchestrator.config.gateway import GatewaySettings
from orchestrator.config.otel import OtelSettings
from orchestrator.config.setting import setting
from orchestrator.config.tenant_limits import service_setting
from orchestrator.config.tiers import TiersSettings


@frozen
class JwtSettings:
    """How users' tokens are verified: by a shared secret or by the keys of an identity provider."""

    secret: str = setting("", says="Secret for HS256 tokens, at least 32 characters.", secret=True)
    jwks_url: str = setting("", says="Where the identity provider publishes its keys.", check=optional(http_url))
    issuer: str = setting("", says="The `iss` that a token must carry; empty: any.")
    audience: str = setting("", says="The `aud` that a token must carry; empty: any.")
    leeway: float = setting(10.0, says="Clock difference that is tolerated, in seconds.", check=between(0, 300))
    max_lifetime: float = setting(
        2_592_000.0,
        says="Longest life of a token, in seconds: longer ones are refused, and revocations kept for so long.",
        check=between(60, 31_536_000),
    )


@frozen
class ServiceSettings:
    """Where a downstream service is, and how long to wait for it."""

    url: str = setting("", says="Base URL; empty: the service is not there.", check=optional(http_url))
    token: str = setting("", says="The token that the orchestrator presents.", secret=True)
    timeout: float = setting(
        30.0,
        says="Deadline of an answer, or of the next piece of a streamed one, in seconds.",
        check=between(0.05, 600),
    )
    transport: str = setting(
        "http", says="How it is asked: over `http`, or through its `queue` in Redis.", check=one_of("http", "queue")
    )
    criticality: str = setting(
        "standard",
        says="How soon it is left alone where it fails: `critical`, `standard` or `non_critical`.",
        check=one_of("critical", "standard", "non_critical"),
    )
    max_concurrency: int = setting(
        256, says="Calls of one process at once, at most; fewer while it is slow.", check=between(1, 10_000)
    )


@frozen
class AgentOrchestratorSettings:
    """Everything that can be set."""

    log_level: str = setting(
        "info", says="Least level that is logged.", check=one_of("debug", "info", "warning", "error")
    )
    tracing: bool = setting(
        default=False,
        says="Whether spans are made and sent to a collector, as the variables `OTEL_…` say; takes the extra `otel`.",
    )
    public_url: str = setting(
        "",
        says="Base URL that clients see; empty: the one they asked for, where that is known to be the service's.",
        check=optional(own_url),
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        says="Hosts of the service, with or without port, that `websocket_url` may have where `ORCH_PUBLIC_URL` is not "
        "set; `*.example.com`: all below, `*`: any. Empty: loopback, and the address that a request came to.",
        check=each(host_pattern),
    )

    redis_url: str = setting(
        "redis://127.0.0.1:6379/0",
        says="Redis: `redis://`, `rediss://` or `unix://`, with credentials and database.",
        check=redis_url,
        secret=True,
    )
    redis_connect_timeout: float = setting(5.0, says="Deadline of a connection, in seconds.", check=between(0.05, 60))
    redis_command_timeout: float = setting(5.0, says="Deadline of a command, in seconds.", check=between(0.05, 60))

    jwt: JwtSettings = JwtSettings()
    api_keys: tuple[str, ...] = setting(
        (),
        says="Keys of services and operators, each `name:scope:sha256` with scope internal, admin or metrics.",
        check=each(api_key),
        secret=True,
    )
    encryption_keys: tuple[str, ...] = setting(
        (),
        says="Keys of contents at rest, each `id:base64` of 32 bytes: the first encrypts, all decrypt. Empty: clear.",
        check=each(encryption_key),
        secret=True,
    )
    internal_bind: str = setting(
        "",
        says="`HOST:PORT` of a listener of its own for internal routes, which asks for client certificates. "
        "Empty: they are on the public listener.",
        check=optional(host_and_port),
    )
    internal_certfile: str = setting("", says="Certificate of that listener, a file in PEM.")
    internal_keyfile: str = setting("", says="Private key of that certificate, a file in PEM.")
    internal_ca_certs: str = setting("", says="Authorities whose client certificates it takes, a file in PEM.")
    internal_subjects: tuple[str, ...] = setting(
        (),
        says="Whose certificates are whose, each `subject=name`: a common name, host name or URI of a certificate, and "
        "the name of the API keys that come with it.",
        check=each(certificate_subject),
    )
    allowed_origins: tuple[str, ...] = setting(
        (),
        says="Origins of browsers that may call; `*`: all, `http://localhost:*`: those of every port. Empty: only the "
        "service's own.",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        says="Addresses and networks of proxies whose `X-Forwarded-*` and `Forwarded` are believed.",
        check=each(network),
    )
    callback_allow: tuple[str, ...] = setting(
        (),
        says="Networks, addresses and hosts that callbacks may go to although they are not public.",
        check=each(network_or_host),
    )
    console: bool = setting(True, says="Whether the console is served at `/console`.")
    metrics_public: bool = setting(False, says="Whether `/metrics` needs no API key.")
    max_body_bytes: int = setting(1_048_576, says="Largest request body, in bytes.", check=between(1024, 64 * 2**20))

    concurrency: int = setting(100, says="Tasks that one process runs at once.", check=between(1, 10_000))
    adaptive_concurrency: bool = setting(
        True,
        says="Whether a process whose event loop is busy runs fewer tasks at once, as many as keep it busy.",
    )
    tenant_share: float = setting(
        0.9,
        says="Share of these that one tenant may have at most; the rest is kept free for others. 1: all.",
        check=between(0.1, 1),
    )
    tenant_memory: float = setting(
        0.25,
        says="Share of Redis' `maxmemory` (or of its machine's memory) that one tenant may keep by default.",
        check=between(0.01, 1),
    )
    fairness_cost: str = setting(
        "tasks",
        says="What tenants share fairly: `tasks`, the `seconds` that these run, or `tokens` (in thousands).",
        check=one_of("tasks", "seconds", "tokens"),
    )
    lease: float = setting(30.0, says="How long a silent worker keeps its tasks, in seconds.", check=between(1, 600))
    node_timeout: float = setting(
        6.0, says="A process without heartbeat for so long counts as gone, in seconds.", check=between(0.5, 60)
    )
    max_attempts: int = setting(5, says="Times that a task is claimed before it is given up.", check=between(1, 100))
    task_retries: int = setting(
        1, says="Times that a turn starts over after a failure that may pass; 0: never.", check=between(0, 20)
    )
    task_retry_delay: float = setting(
        1.0, says="Seconds until it does; each further time twice as long, at most 30.", check=between(0.001, 30)
    )
    turn_timeout: float = setting(120.0, says="Deadline of a chat turn, in seconds.", check=between(1, 3600))
    workflow_timeout: float = setting(
        86_400.0,
        says="How long a workflow of the Workflow Engine may take, its waits included, in seconds.",
        check=between(1, 31_536_000),
    )
    workflow_poll: float = setting(
        60.0,
        says="Silence of the Workflow Engine, in seconds, after which it is asked how a workflow stands.",
        check=between(0.1, 3600),
    )
    queue_timeout: float = setting(
        600.0, says="How long a message may wait to be started, in seconds; 0: for ever.", check=at_least(0)
    )
    drain_timeout: float = setting(25.0, says="How long a stop waits for running tasks.", check=between(0, 3600))
    session_queue_length: int = setting(100, says="Turns that may wait in one session.", check=between(1, 10_000))
    queue_length: int = service_setting("queue_length")
    schedules: int = service_setting("schedules")
    retain_tasks: float = setting(604_800.0, says="How long a finished task's record is kept.", check=at_least(60))

    event_log_length: int = setting(1000, says="Events kept for resuming a socket.", check=between(10, 100_000))
    history_length: int = setting(100, says="Messages kept here of each conversation.", check=between(2, 1000))
    pause_after: float = setting(600.0, says="Idle time until a session is paused.", check=at_least(0.1))
    suspend_after: float = setting(3600.0, says="Idle time until a session is suspended.", check=at_least(0.2))
    archive_after: float = setting(604_800.0, says="Idle time until a session is archived.", check=at_least(0.3))
    retain_sessions: float = setting(7_776_000.0, says="How long a closed session's record is kept.", check=at_least(1))

    audit_copies: int = setting(
        1000,
        says="Audited entries of tenants, the newest of all, that also stand in `orchestrator:audit:events`; 0: none.",
        check=between(0, 2000),
    )

    rate_tenant: float = service_setting("rate")
    rate_user: float = service_setting("rate_user")
    rate_admin: float = setting(
        100.0, says="Requests a second of one API key to routes of administration; 0: any.", check=at_least(0)
    )
    rate_address: float = setting(
        2000.0,
        says="Requests a second of one address, counted before credentials; 0: any.",
        check=at_least(0),
    )
    auth_failures: int = setting(
        60, says="Failed credentials of one address in a minute, before it has to wait; 0: any.", check=at_least(0)
    )
    address_connections: int = setting(
        0,
        says="Open connections of one address to one process, trusted proxies apart; 0: half of all that it takes.",
        check=at_least(0),
    )
    rate_burst: float = setting(5.0, says="Seconds' worth of requests that may come at once.", check=between(0.1, 3600))

    ws_outbox: int = setting(256, says="Frames that may wait for one slow socket.", check=between(8, 65_536))
    ws_max_connections: int = setting(10_000, says="Sockets of one process.", check=at_least(1))
    ws_connections: int = setting(5000, says="Sockets of one tenant, in one process.", check=at_least(1))
    ws_ping_interval: float = setting(20.0, says="Seconds between pings.", check=between(0.1, 600))

    gateway: GatewaySettings = GatewaySettings()  # noqa: RUF009 - frozen
    tiers: TiersSettings = TiersSettings()  # noqa: RUF009 - frozen
    otel: OtelSettings = OtelSettings()  # noqa: RUF009 - frozen
    services: Mapping[str, ServiceSettings] = field(factory=dict)
    """By service; which there are, and their defaults, is known to who loads the settings."""

    @property
    def traces(self) -> bool:
        """Whether spans are made."""
        return self.tracing and not self.otel.sdk_disabled

    @property
    def uses_queues(self) -> bool:
        """Whether a service is asked through its queue."""
        return any(service.transport == "queue" for service in self.services.values())
