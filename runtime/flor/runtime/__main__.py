"""`python -m flor.runtime`."""

import sys

# `python -m` puts the current folder first: a user's file named e.g. queue.py would be ours.
if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]

from flor.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
