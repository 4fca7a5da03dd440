"""`python -m florc` is `florc`."""

import sys

from florc.cli import main

sys.exit(main())
