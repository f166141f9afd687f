"""The service in a process of its own, as `python -m orchestrator`, which measures how long its tasks hold the loop.

    HOLDS=FILE python -m tests.support.measured_service --bind 127.0.0.1:0

writes a line into FILE for each hold of more than `LEAST_SECONDS`: seconds of the processor, the name of the task, and
how many of the seconds were the garbage collector's.
"""

import gc
import os
from functools import partial
from pathlib import Path
from time import thread_time
from typing import Final, TextIO

import trio
from attrs import define, field

from orchestrator.__main__ import main

LEAST_SECONDS: Final = 0.02


@define(eq=False)
class Holds(trio.abc.Instrument):
    """Measures each step of each task, by the time of the processor: what other processes take does not count."""

    file: TextIO
    _began: float = field(default=0.0, init=False)
    _collected: float = field(default=0.0, init=False)

    def collected(self, phase: str, _: dict[str, int]) -> None:
        """Note how long a collection takes."""
        self._collected += thread_time() if phase == "stop" else -thread_time()

    def before_task_step(self, _: trio.lowlevel.Task) -> None:
        self._began, self._collected = thread_time(), 0.0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        seconds = thread_time() - self._began
        if seconds >= LEAST_SECONDS:
            self.file.write(f"{seconds:.4f} {task.name} {self._collected:.4f}\n")
            self.file.flush()


if __name__ == "__main__":
    with Path(os.environ["HOLDS"]).open("a", encoding="utf-8") as holds:
        instrument = Holds(holds)
        gc.callbacks.append(instrument.collected)
        trio.run = partial(trio.run, instruments=[instrument])  # type: ignore[assignment] # the same function, watched
        main()
