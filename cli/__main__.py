"""`python -m cli` runs `nooble-orch`."""

from cli.main import main

if __name__ == "__main__":
    main()
