"""What the benchmarks have in common."""

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.__main__ import benchmarks
from tests.benchmarks.harness import Row, at_least, at_most

ROW = Row("turns", "a bare route", "ours", "bare", at_most(6))


def test_a_ratio_is_taken_within_each_round() -> None:
    assert ROW.values([{"ours": 6.0, "bare": 2.0}, {"ours": 5.0, "bare": 1.0}]) == [3.0, 5.0]


def test_a_row_without_its_peer_shows_nothing() -> None:
    assert ROW.values([{"ours": 6.0}]) == []


def test_a_figure_that_stands_by_itself_is_shown_as_it_is() -> None:
    assert Row("bytes", "itself", "ours").values([{"ours": 3000.0}]) == [3000.0]


def test_bounds_hold_where_they_are_reached() -> None:
    assert at_least(2).holds(2.0)
    assert not at_least(2).holds(1.9)
    assert at_most(3500).holds(3500.0)
    assert not at_most(3500).holds(3501.0)


def test_new_lines_take_the_place_of_those_of_the_same_row() -> None:
    old = ["| a | x | 1.00 | ≥ 2 | then |", "| gone | x | 1.00 | – | then |", "| b | x | 1.00 | – | then |"]  # noqa: RUF001 - as pages write it
    page = f"before\n{report.BEGIN}\n{report.table(old)}\n{report.END}\nafter\n"
    new = ["| b | x | 3.00 | – | now |", "| c | y | 4.00 | – | now |"]  # noqa: RUF001 - as pages write it
    order = [report.key_of("a", "x"), report.key_of("b", "x"), report.key_of("c", "y")]
    found = report.merged(page, new, order)
    assert found == f"before\n{report.BEGIN}\n{report.table([old[0], *new])}\n{report.END}\nafter\n"


def test_the_smallest_sizes_are_sizes_that_a_benchmark_has() -> None:
    known = benchmarks()
    assert {
        name: set(one.smallest) - set(one.sizes) for name, one in known.items() if set(one.smallest) - set(one.sizes)
    } == {}


def test_every_module_that_can_be_run_is_part_of_the_one_command() -> None:
    modules = {path.stem for path in Path(__file__).parent.glob("*.py") if "run(BENCHMARK" in path.read_text("utf-8")}
    assert modules - {"harness", "test_harness"} == set(benchmarks())


def test_no_two_rows_of_the_table_are_the_same() -> None:
    keys = [report.key_of(row.what, row.beside) for one in benchmarks().values() for row in one.rows]
    assert len(keys) == len(set(keys))


def test_the_page_has_only_rows_that_a_benchmark_finds() -> None:
    keys = {report.key_of(row.what, row.beside) for one in benchmarks().values() for row in one.rows}
    text = report.PAGE.read_text(encoding="utf-8").partition(report.BEGIN)[2].partition(report.END)[0]
    assert {report.key(one) for one in text.strip().split("\n")[2:]} <= keys


def test_one_command_runs_benchmarks_and_writes_what_they_found(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--only", "plan_engine,contents_at_rest"]
    done = subprocess.run(
        [*command, "--small", "--rounds", "1", "--json", file], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text(encoding="utf-8"))
    assert list(found) == ["plan_engine", "contents_at_rest"]
    assert all(row["value"] for one in found.values() for row in one["rows"])
    assert "| CPU of a turn of forty tokens, encrypted at rest | the same turn without keys |" in done.stdout


def test_a_benchmark_that_fails_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--only", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "There is no benchmark nothing" in done.stderr
