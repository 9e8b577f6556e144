"""How all tests run: which examples hypothesis tries, and which tests are slow."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

# A change passes or fails by what it changed, so the gate tries the same examples each time. `scripts/test
# --random` looks further: what it sees fail becomes an `@example` beside the repair.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("random", derandomize=False, deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("fixed")

HERE: Final = Path(__file__).parent

#: What `scripts/test --quick` leaves out: folders and files that take long, most of them for the servers,
#: browsers and other environments that they start. The rest takes about a minute and a half on two cores.
SLOW: Final = (
    "e2e",
    "faults",
    "frameworks",
    "cli/test_backup.py",
    "cli/test_client.py",
    "cli/test_commands.py",
    "cli/test_doctor.py",
    "cli/test_simulated_history.py",
    "cli/test_stack.py",
    "cli/test_up.py",
    "collector/test_auth.py",
    "collector/test_bisect_segment.py",
    "collector/test_broken_parts.py",
    "collector/test_call_dedup.py",
    "collector/test_call_evidence.py",
    "collector/test_cluster.py",
    "collector/test_columns.py",
    "collector/test_damaged_log.py",
    "collector/test_decode.py",
    "collector/test_dialects.py",
    "collector/test_export_otlp.py",
    "collector/test_fault_finding.py",
    "collector/test_faults.py",
    "collector/test_full_disk.py",
    "collector/test_ingest_benchmark.py",
    "collector/test_interrupted_upgrade.py",
    "collector/test_late_evidence.py",
    "collector/test_life.py",
    "collector/test_missing_segments.py",
    "collector/test_mlflow_sync.py",
    "collector/test_one_more_bucket.py",
    "collector/test_program_logs.py",
    "collector/test_projects.py",
    "collector/test_query_benchmark.py",
    "collector/test_redaction.py",
    "collector/test_restart.py",
    "collector/test_rolling_upgrade.py",
    "collector/test_server.py",
    "collector/test_sql_values.py",
    "collector/test_upgrade.py",
    "collector/test_writer.py",
    "clients",
    "conformance/test_duplicates.py",
    "conformance/test_emitters.py",
    "contract/test_audit.py",
    "contract/test_distribution.py",
    "dashboard/test_alerts.py",
    "dashboard/test_cost_budget.py",
    "dashboard/test_cost_caches.py",
    "dashboard/test_cost_cli.py",
    "dashboard/test_cost_one_source.py",
    "dashboard/test_cost_page.py",
    "dashboard/test_cost_price_overrides.py",
    "dashboard/test_cost_prices.py",
    "dashboard/test_detect_anomalies.py",
    "dashboard/test_detect_streaming.py",
    "dashboard/test_detection_benchmark.py",
    "dashboard/test_message_prefilter.py",
    "dashboard/test_message_scan.py",
    "dashboard/test_pages.py",
    "dashboard/test_pages_browser.py",
    "dashboard/test_trace_content.py",
    "dashboard/test_queries.py",
    "dashboard/test_unseen_incidents.py",
    "dashboard/test_unseen_spend.py",
    "dashboard/test_usage_apis.py",
    "dashboard/test_watch.py",
    "dashboard/test_webhook_crashes.py",
    "escapes",
    "inference/test_audit.py",
    "inference/test_batches.py",
    "inference/test_conformance.py",
    "inference/test_demo_model.py",
    "inference/test_endings.py",
    "inference/test_engine.py",
    "inference/test_export.py",
    "inference/test_load.py",
    "inference/test_openai.py",
    "inference/test_process.py",
    "inference/test_reload.py",
    "inference/test_spans.py",
    "sdk/test_chaos.py",
    "sdk/test_doctor.py",
    "sdk/test_many_streams.py",
    "programs/test_programs.py",
    "sdk/test_process.py",
    "sdk/test_process_ends.py",
    "sdk/test_pytest_plugin.py",
    "sdk/test_rebuilt_answers.py",
    "sdk/test_recipes.py",
    "sdk/test_recordings.py",
    "sdk/test_redaction.py",
    "sdk/test_replayed_traces.py",
    "sdk/test_spool.py",
    "sdk/test_tls.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow ones. Raises pytest.UsageError for an entry that is no longer there."""
    slow = {HERE / name for name in SLOW}
    if missing := sorted(str(path.relative_to(HERE)) for path in slow if not path.exists()):
        raise pytest.UsageError(f"tests/conftest.py calls slow what is not there: {', '.join(missing)}")
    for item in items:
        if item.path in slow or item.path.parent in slow:
            item.add_marker(pytest.mark.slow)


#: In the environment: what pytest itself sets for each test, and what a collector says to MLflow's client.
_EXPECTED: Final = ("PYTEST_CURRENT_TEST", "MLFLOW_", "MPLBACKEND")  # the last by importing Streamlit


def _process_state() -> dict[str, object]:
    # What one test can change for the tests that follow it in its process.
    log = logging.getLogger()
    return {
        "level of the root logger": log.level,
        "handlers of the root logger": [handler for handler in log.handlers if not _is_pytest(handler)],
        "logging.disable": log.manager.disable,
        "working directory": os.getcwd(),
        **{f"environment: {name}": os.environ[name] for name in os.environ if not name.startswith(_EXPECTED)},
    }


def _is_pytest(handler: logging.Handler) -> bool:
    return type(handler).__module__.startswith("_pytest.")


@pytest.fixture(autouse=True)
def nothing_is_left_over() -> Iterator[None]:
    """Fails a test that changes what the tests after it see: which ones those are depends on the load."""
    before = _process_state()
    yield
    after = _process_state()
    names = sorted(before.keys() | after.keys())
    if left := [name for name in names if before.get(name) != after.get(name)]:
        pytest.fail(f"left to the tests that follow: {', '.join(left)}")
