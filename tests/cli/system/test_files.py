"""Files that are written whole."""

import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from cli.system.files import written_whole


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    link.symlink_to(file)
    with written_whole(link) as stream:
        stream.write(b"first")
        assert not file.exists()
    with suppress(KeyboardInterrupt), written_whole(link) as stream:
        stream.write(b"second")
        raise KeyboardInterrupt
    assert (file.read_bytes(), link.is_symlink(), sorted(tmp_path.iterdir())) == (b"first", True, [file, link])


def test_what_is_no_file_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with written_whole(pipe) as stream:
        stream.write(b"all")
    reader.join()
    assert (read, pipe.is_fifo(), list(tmp_path.iterdir())) == ([b"all"], True, [pipe])


def test_a_full_disk_is_told_with_the_name_of_the_file() -> None:
    full = Path("/dev/full")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"), written_whole(full) as stream:
        stream.write(b"x")
