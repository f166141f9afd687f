"""python-jsonpath and prometheus-client: what one module each uses of them."""

import inspect

from jsonpath import JSONPath, JSONPathMatch
from jsonpath.filter import RelativeFilterQuery
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import Filter, NameSelector
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from orchestrator.domain.plans.references import parse
from tests.frameworks.moved import need


def test_a_path_of_jsonpath_can_be_looked_into() -> None:
    path = parse("$.calls.a.result[?@.n == 1]").path
    library = "python-jsonpath"
    need(isinstance(path, JSONPath), library, "a path is no JSONPath")
    need(
        all(isinstance(segment, JSONPathChildSegment) and callable(segment.resolve) for segment in path.segments),
        library, "a path has other segments",
    )  # fmt: skip
    [named] = path.segments[0].selectors
    need(isinstance(named, NameSelector) and named.name == "calls", library, "a name is selected in another way")
    [chosen] = path.segments[-1].selectors
    need(isinstance(chosen, Filter), library, "a filter is something else")
    assert isinstance(chosen, Filter)
    queries = [part for part in chosen.expression.children()[0].children() if isinstance(part, RelativeFilterQuery)]
    need(queries and queries[0].path.singular_query(), library, "a filter's paths are found in another way")


def test_a_match_of_jsonpath_is_made_by_us() -> None:
    made = set(inspect.signature(JSONPathMatch).parameters)
    given = {"filter_context", "obj", "parent", "path", "parts", "root"}
    need(given <= made, "python-jsonpath", "JSONPathMatch is made of something else")
    need(hasattr(JSONPathMatch, "filter_context"), "python-jsonpath", "a match has no filter_context")


def test_prometheus_chooses_the_format() -> None:
    encode, media_type = choose_encoder("text/plain")
    need(media_type.startswith("text/plain"), "prometheus-client", "choose_encoder gives no media type")
    need(encode(CollectorRegistry()) == b"", "prometheus-client", "choose_encoder gives no encoder")
