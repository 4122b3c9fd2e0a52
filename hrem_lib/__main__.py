"""`python -m hrem_lib` is `hrem`."""

import sys

from hrem_lib.cli import main

sys.exit(main())
