"""What a failed call may have done nevertheless."""

import httpcore

from orchestrator.errors import (
    CircuitOpen,
    ClientFault,
    OrchestratorError,
    ServiceFailed,
    ServiceFault,
    ServiceNotSetUp,
    ServiceRefused,
    ServiceUnreachable,
)

_NEVER_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout)


def is_refusal(error: OrchestratorError) -> bool:
    """Tell whether the service has looked at the call and will not do it: asking again would end the same."""
    return isinstance(error, ServiceRefused | ClientFault) and not isinstance(error, ServiceFailed)


def may_have_run(error: OrchestratorError) -> bool:
    """Tell whether a service may have done what it was asked although the call failed.

    It has not where it refused, was too busy (429), or was never reached; anything else may have broken on its way
    back.
    """
    if is_refusal(error) or isinstance(error, CircuitOpen | ServiceNotSetUp) or type(error) is ServiceFault:
        return False
    return not (isinstance(error, ServiceUnreachable) and isinstance(error.__cause__, _NEVER_SENT))
