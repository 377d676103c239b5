"""`python -m msdd` is `msdd`."""

import sys

from msdd.cli import main

sys.exit(main())
