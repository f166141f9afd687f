"""`python main.py`: the service, as `python -m orchestrator` runs it."""

from orchestrator.__main__ import main

main()
