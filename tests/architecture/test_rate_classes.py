"""Every route says which limit counts it."""

from orchestrator.models.common.limits import RateClass
from orchestrator.routes import ROUTES
from orchestrator.routes.http.registry import Access


def test_no_route_is_without_its_class() -> None:
    assert [route.name for route in ROUTES if route.rate_class is None] == []


def test_administration_is_counted_apart_and_reading_is_what_changes_nothing() -> None:
    for route in ROUTES:
        administers = route.access in {Access.ADMIN, Access.OPERATOR}
        assert (route.rate_class is RateClass.ADMIN) is administers, route.name
        if not administers:
            assert (route.rate_class is RateClass.READ) is (route.method == "GET"), route.name
