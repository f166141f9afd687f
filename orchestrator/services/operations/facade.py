"""What operators do with work that is queued, or that has ended."""

from attrs import frozen

from orchestrator.services.operations.dead_letters import DeadLetterService
from orchestrator.services.operations.replays import ReplayService
from orchestrator.services.operations.transfers import TransferService


@frozen
class Operations:
    """The services of operators."""

    replays: ReplayService
    dead_letters: DeadLetterService
    transfers: TransferService
