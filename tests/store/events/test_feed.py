"""The feed of a tenant, as it is read."""

from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.feed import entries_of

NONE = (b"5", b"[]", b'{"kind":5,"id":"s1"}', b'{"kind":"session"}', b'{"kind":"session","id":"s1","offset":"1"}')


def test_entries_that_can_not_be_read_are_left_out_and_the_first_event_is_none() -> None:
    bodies = [
        *NONE,
        b'{"kind":"session","id":"s1","epoch":"e","offset":1,"of_a_later_version":1}',
        b'{"kind":"notice","id":"n1"}',
    ]
    events = [LoggedEvent(offset, "e", "chat.completed", body) for offset, body in enumerate(bodies, 2)]
    found = entries_of([LoggedEvent(1, "e", "feed.opened", b"{}"), *events])
    assert [(one.event, one.reference.id) for one in found] == [(events[-2], "s1"), (events[-1], "n1")]
