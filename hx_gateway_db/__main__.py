"""python3 -m hx_gateway_db, the command from a checkout."""

import sys

from hx_gateway_db.cli.parser import main

sys.exit(main())
