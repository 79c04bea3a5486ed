"""`python -m tests.fuzz --minutes 30`: tries all targets for a time, see harness.py."""

import sys

from tests.fuzz.harness import main

sys.exit(main())
