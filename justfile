# What people type here; `just --list` shows it. Every recipe is one command that works without just as well.

bin := ".venv/bin"

# Set up the environment for development.
setup:
    python3 -m venv .venv && {{bin}}/pip install -e '.[dev]'

# Start the development stack: Redis, stand-ins of the services, the service, a chat.
dev *arguments:
    {{bin}}/nooble-orch dev {{arguments}}

# Run tests, all of them or those that the arguments name.
test *arguments:
    {{bin}}/pytest {{arguments}}

# Check style, types, spelling and the rules of imports.
check:
    {{bin}}/ruff check . && {{bin}}/ruff format --check . && {{bin}}/mypy && {{bin}}/lint-imports && {{bin}}/codespell

# Mend what ruff can mend by itself.
format:
    {{bin}}/ruff check --fix . && {{bin}}/ruff format .

# Run everything that a change must pass, as CI does.
ci:
    .ci/run

# Run all benchmarks, or some: `just bench --only queue_tasks`.
bench *arguments:
    {{bin}}/python -m tests.benchmarks {{arguments}}
