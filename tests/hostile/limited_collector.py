"""A collector that may open 1,024 files, as many systems allow.

python -m tests.hostile.limited_collector SETTINGS_AS_JSON
"""

from __future__ import annotations

import resource
import sys

from llmtrace_collector.app import serve
from llmtrace_collector.settings import CollectorSettings

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    serve(CollectorSettings.model_validate_json(sys.argv[1]))
