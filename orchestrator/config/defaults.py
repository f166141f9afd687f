"""Settings of the service where the environment sets nothing.

They stand apart from the clients of the services, so that a command that only reads settings loads none of those.
"""

from typing import Final

from orchestrator.config.settings import AgentOrchestratorSettings, ServiceSettings

DEFAULTS: Final = AgentOrchestratorSettings(
    services={
        "conversation": ServiceSettings(timeout=5.0),
        "agent_management": ServiceSettings(criticality="critical", timeout=5.0),
        "agent_execution": ServiceSettings(criticality="critical"),
        "workflow_engine": ServiceSettings(),
        "tool_registry": ServiceSettings(),
        "query": ServiceSettings(),
        "embedding": ServiceSettings(criticality="non_critical"),
    }
)
