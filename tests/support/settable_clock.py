"""A `redis-server` whose clock can be set: a library that the linker loads first adds an offset to the wall clock.

It is compiled where the tests run; where there is no C compiler, or no Linux, there is no such server.
"""

import mmap
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from orchestrator.sandbox.redis.redis_binary import find_redis_binary

SOURCE: Final = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t zero;
static volatile const int64_t *offset_ms = &zero;

__attribute__((constructor)) static void map_offset(void)
{
    const char *name = getenv("CLOCK_OFFSET");
    int file = name ? open(name, O_RDONLY) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_ms, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        offset_ms = page;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        int64_t ns = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + *offset_ms * 1000000;
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec spec;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &spec);
    now->tv_sec = spec.tv_sec;
    now->tv_usec = spec.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec spec;
    clock_gettime(CLOCK_REALTIME, &spec);
    if (result)
        *result = spec.tv_sec;
    return spec.tv_sec;
}
"""


@frozen
class SettableClock:
    """The clock of every server that is started by `redis-server` in `folder`."""

    folder: Path
    _offset: mmap.mmap

    @classmethod
    def make(cls, folder: Path) -> Self | None:
        """Compile the library, and write a `redis-server` that loads it; None where that can't be done."""
        compiler = shutil.which("cc")
        if compiler is None or sys.platform != "linux":
            return None
        folder.mkdir(parents=True)
        (folder / "clock.c").write_text(SOURCE, encoding="ascii")
        library = folder / "clock.so"
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, folder / "clock.c"], check=True)
        offset = folder / "offset"
        offset.write_bytes(struct.pack("q", 0))
        command = folder / "redis-server"
        environ = f"LD_PRELOAD={shlex.quote(str(library))} CLOCK_OFFSET={shlex.quote(str(offset))}"
        command.write_text(f'#!/bin/sh\n{environ} exec {shlex.quote(str(find_redis_binary().path))} "$@"\n')
        command.chmod(0o700)
        with offset.open("r+b") as file:
            return cls(folder, mmap.mmap(file.fileno(), 8))

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        (offset,) = struct.unpack("q", self._offset[:])
        self._offset[:] = struct.pack("q", offset + int(seconds * 1000))
