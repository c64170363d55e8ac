# SPDX-License-Identifier: GPL-2.0
"""Where things are."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("PT_RECLAIM_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "madv-pt-reclaim").resolve()
