"""Questions to agents outside of any conversation: what is given along is checked."""

from typing import Any

import pytest

from orchestrator.codec import unstructure
from orchestrator.errors import InvalidBody
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.services.agents.agent_question import AgentQuestionRunner
from orchestrator.services.plans.attempt import Partial
from orchestrator.services.workflows.step_attempt import StepAttempt
from tests.store.desk import a_task


@pytest.mark.parametrize(("tools", "at"), [(["calculator"], [0]), ([{"tool_id": "calculator"}, None, []], [1, 2])])
async def test_tools_that_are_no_objects_are_refused_by_their_path(tools: object, at: list[int]) -> None:
    agent = unstructure(AgentConfig("echo", "1.0.0", "Echo"))
    question = a_task(payload={"message_id": "m1", "content": "?", "agent_config": agent, "tools": tools})
    nothing: Any = None
    with pytest.raises(InvalidBody) as refused:
        await AgentQuestionRunner(nothing, nothing, nothing).run(StepAttempt(question, "echo"), Partial())
    assert [fault.path for fault in refused.value.details] == [f"$.payload.tools[{index}]" for index in at]
