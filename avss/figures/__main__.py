"""`python -m avss.figures`."""

import sys

from avss.figures import main

sys.exit(main())
