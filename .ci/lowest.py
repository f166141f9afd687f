"""Print the lowest version of each direct dependency that pyproject.toml allows, as constraints of pip.

    python .ci/lowest.py [EXTRA …]

Needs `packaging`.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(extras: list[str]) -> Iterator[str]:
    """Yield `name==version` of the core dependencies and those of the extras.

    Raises:
        ValueError: a dependency has no lower bound.
    """
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    for requirement in map(Requirement, lines):
        if requirement.name == project["name"]:
            continue
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if not bounds:
            raise ValueError(f"{requirement.name} has no lower bound")
        yield f"{requirement.name}=={bounds[0]}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest(sys.argv[1:])) + "\n")
