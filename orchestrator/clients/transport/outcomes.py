"""Outcomes of failed calls: whether the service may have done the work."""

from orchestrator.errors import (
    CircuitOpen,
    ClientFault,
    ConnectionBroken,
    OrchestratorError,
    ServiceBusy,
    ServiceFailed,
    ServiceFault,
    ServiceNotSetUp,
    ServiceRefused,
    ServiceUnreachable,
)


def is_refusal(error: OrchestratorError) -> bool:
    """Tell whether the service has read the call and refused it: a retry would be refused too."""
    return isinstance(error, ServiceRefused | ClientFault) and not isinstance(error, ServiceFailed)


def may_have_run(error: OrchestratorError) -> bool:
    """Tell whether a service may have done the work of a call that failed.

    It has not where it refused, was too busy (429), or was never reached; after any other error the answer may have
    been lost on its way back.
    """
    if (
        is_refusal(error)
        or isinstance(error, CircuitOpen | ServiceNotSetUp)
        or type(error) in {ServiceFault, ServiceBusy}
    ):
        return False
    return isinstance(error, ConnectionBroken) or not isinstance(error, ServiceUnreachable)
