"""A process that behaves as its argument says, for `test_child.py`."""

import signal
import sys

WAYS = sys.argv[1]
if WAYS == "breaks":
    sys.exit("first line\nthe reason")
if WAYS == "is stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.write("something before\nready http://127.0.0.1:1\n")
sys.stdout.flush()
if WAYS == "talks":
    sys.stdout.write("x" * 500_000)
    sys.exit("talked")
signal.pause()
