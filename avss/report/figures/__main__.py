"""`python -m avss.report.figures`."""

import sys

from avss.report.figures import main

sys.exit(main())
