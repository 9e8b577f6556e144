"""The MLflow side: find a run by its key or create it, log a revision, set its status."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmtrace.common.escaping import visible

from .runs.run_contents import RECEIVED_TAG, RUN_KEY_TAG, SAMPLES_FILE, RunContents, run_key, shorten
from .runs.run_data import RunData

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

logger = logging.getLogger(__name__)

_REVISION_TAG = "llmtrace.revision"
_DIGEST_TAG = "llmtrace.digest"
_FINGERPRINT_TAG = "llmtrace.fingerprint"
#: `param.<name>` holds a parameter's present value where MLflow's immutable one is an older one.
_PARAM_TAG = "param."

_EXPERIMENT_NAME_LENGTH = 400
_RUN_NAME_LENGTH = 250

#: MLflow's client waits and retries for minutes by default; here the next pass is the retry. Values that
#: are set already win.
_CLIENT_ENVIRONMENT: Mapping[str, str] = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Otherwise each finished run prints two lines.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

_CHECK_SECONDS = 5.0

#: Answers that concern the request itself, so that repeating it would not help.
_REFUSALS = frozenset({400, 409, 413, 422})


class MlflowUnavailable(RuntimeError):
    """MLflow did not answer, or not as MLflow does; the same pass may succeed later."""


class MlflowRefused(Exception):
    """MLflow will not take what one run has to log."""


@dataclass(frozen=True)
class Experiment:
    """An experiment of MLflow's. A deleted one takes no runs until somebody restores it there."""

    experiment_id: str
    deleted: bool = False


@dataclass
class TrackedRun:
    """What MLflow holds of one run. Times are Unix ms; `received_ms` is when its newest span arrived."""

    run_id: str
    params: dict[str, str]
    changed_params: set[str] = field(default_factory=set)
    status: str = "RUNNING"
    deleted: bool = False
    revision: int = 0
    digest: str = ""
    fingerprint: str = ""
    received_ms: int = 0
    ended_ms: int = 0


class Tracking:
    """One MLflow server, through a client of its own: nothing of MLflow's fluent state is touched.

    Every method raises MlflowUnavailable when the server does not answer, and those that write
    MlflowRefused when it refuses.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "mlflow_url is not the address of a tracking server: use http://host:port, such as "
                "http://127.0.0.1:5000"
            )
        if "@" in parts.netloc:
            # MLflow's client repeats its address in every error.
            raise ValueError(
                "mlflow_url holds a user name or password: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD in the collector's environment instead"
            )
        self._url = url.rstrip("/")
        self._client: MlflowClient | None = None
        self._samples_refused = False

    def check(self) -> None:
        """Raise MlflowUnavailable unless something answers at the server's address.

        Not through MLflow's client, whose retries warn in the log each time.
        """
        try:
            # http(s) alone, see __init__.
            with urllib.request.urlopen(f"{self._url}/health", timeout=_CHECK_SECONDS):  # noqa: S310
                pass
        except urllib.error.HTTPError:
            return
        except OSError as error:
            raise MlflowUnavailable(_unavailable(self._url, error)) from error

    def experiment(self, name: str) -> Experiment | None:
        """The experiment of that name; None when there is none yet."""
        with self._connection() as client:
            experiment = client.get_experiment_by_name(_shown(name, _EXPERIMENT_NAME_LENGTH))
        if experiment is None:
            return None
        return Experiment(str(experiment.experiment_id), deleted=experiment.lifecycle_stage != "active")

    def create_experiment(self, name: str) -> Experiment:
        """A new experiment of that name, or the one that somebody else made meanwhile."""
        try:
            with self._connection() as client:
                created = client.create_experiment(
                    _shown(name, _EXPERIMENT_NAME_LENGTH),
                    # Opens with MLflow's pages for LLM applications rather than model training.
                    tags={"mlflow.experimentKind": "genai_development"},
                )
            return Experiment(str(created))
        except MlflowRefused:
            experiment = self.experiment(name)
            if experiment is None:
                raise
            return experiment

    def runs(self, experiment_id: str) -> dict[str, TrackedRun]:
        """Every run of an experiment that has a run key, by that key; deleted ones too."""
        from mlflow.entities import ViewType

        runs: dict[str, TrackedRun] = {}
        token: str | None = None
        with self._connection() as client:
            while True:
                page = client.search_runs(
                    [experiment_id],
                    filter_string=f"tags.\"{RUN_KEY_TAG}\" LIKE '%'",
                    run_view_type=ViewType.ALL,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                for run in page:
                    key = run.data.tags[RUN_KEY_TAG]
                    # Should two runs have one key, the first that is not deleted is the one.
                    if key not in runs or runs[key].deleted:
                        runs[key] = _tracked(run)
                token = page.token
                if not token:
                    return runs

    def create(self, experiment_id: str, run_data: RunData) -> TrackedRun:
        """A new run for `run_data`; it has its key from the first moment, so it is found again."""
        with self._connection() as client:
            run = client.create_run(
                experiment_id,
                start_time=run_data.started_ms,
                run_name=_shown(run_data.key.run, _RUN_NAME_LENGTH),
                tags={
                    RUN_KEY_TAG: run_key(run_data.key),
                    "mlflow.source.name": "llmtrace",
                    "mlflow.user": "llmtrace",
                },
            )
            return _tracked(run)

    def log(self, run: TrackedRun, new: RunContents, fingerprint: str) -> bool:
        """Log `new` as the next revision of `run`; interrupted anywhere, it may be called again.

        Returns False when MLflow holds the same already.
        """
        from mlflow.entities import Metric, Param, RunTag

        if new.digest == run.digest:
            with self._connection() as client:
                client.set_tag(run.run_id, _FINGERPRINT_TAG, fingerprint)
            run.fingerprint = fingerprint
            return False
        step = run.revision + 1
        # MLflow keeps the first value of a param for good and refuses a batch with another one.
        added = {name: value for name, value in new.params.items() if name not in run.params}
        changed = run.changed_params | {
            name for name, value in new.params.items() if run.params.get(name, value) != value
        }
        tags = dict(new.tags) | {f"{_PARAM_TAG}{name}": new.params.get(name, "") for name in changed}
        if not self._log_samples(run, new):
            del tags["mlflow.loggedArtifacts"]
        with self._connection() as client:
            # The step is claimed before metrics use it: of two values at one step MLflow shows the larger.
            client.log_batch(
                run.run_id,
                params=[Param(name, value) for name, value in added.items()],
                tags=[RunTag(name, value) for name, value in (tags | {_REVISION_TAG: str(step)}).items()],
            )
            # The server stores tags after metrics: a digest says that all of them are there.
            client.log_batch(
                run.run_id,
                metrics=[Metric(name, value, new.timestamp_ms, step) for name, value in new.metrics.items()],
                tags=[RunTag(_DIGEST_TAG, new.digest), RunTag(_FINGERPRINT_TAG, fingerprint)],
            )
        run.revision, run.digest, run.fingerprint = step, new.digest, fingerprint
        run.params |= added
        run.changed_params = changed
        return True

    def reopen(self, run: TrackedRun) -> None:
        """Say that the run goes on."""
        with self._connection() as client:
            client.update_run(run.run_id, status="RUNNING")
        run.status = "RUNNING"

    def finish(self, run: TrackedRun) -> None:
        """Say that the run ended with its last span."""
        with self._connection() as client:
            client.set_terminated(run.run_id, "FINISHED", end_time=run.ended_ms or run.received_ms or None)
        run.status = "FINISHED"

    def _log_samples(self, run: TrackedRun, new: RunContents) -> bool:
        """Replace the sample table; False where this server's artifacts cannot be written from here."""
        from mlflow.exceptions import MlflowException

        try:
            with self._connection() as client:
                client.log_dict(run.run_id, dict(new.table), SAMPLES_FILE)
        except MlflowUnavailable:
            raise
        except (MlflowRefused, MlflowException, OSError, ImportError) as error:
            # An artifact store of its own, without credentials here, must not cost the metrics.
            if not self._samples_refused:
                logger.warning(
                    "MLflow's artifact store does not take the table of sample calls (%s); metrics go on "
                    "without it. Start MLflow with --artifacts-destination: then it stores artifacts itself.",
                    error,
                )
            self._samples_refused = True
            return False
        self._samples_refused = False
        return True

    @contextmanager
    def _connection(self) -> Iterator[MlflowClient]:
        """The client, with MLflow's errors turned into ours."""
        for name, value in _CLIENT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # Imported after the environment is set, and only where an MLflow server is configured.
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        if self._client is None:
            self._client = MlflowClient(tracking_uri=self._url)
        try:
            yield self._client
        except MlflowException as error:
            if _status(error) in _REFUSALS:
                raise MlflowRefused(_brief(error)) from error
            raise MlflowUnavailable(_unavailable(self._url, error)) from error


def _tracked(run: Run) -> TrackedRun:
    tags = run.data.tags
    return TrackedRun(
        run_id=run.info.run_id,
        params=dict(run.data.params),
        changed_params={name.removeprefix(_PARAM_TAG) for name in tags if name.startswith(_PARAM_TAG)},
        status=run.info.status,
        deleted=run.info.lifecycle_stage != "active",
        revision=_number(tags.get(_REVISION_TAG)),
        digest=tags.get(_DIGEST_TAG, ""),
        fingerprint=tags.get(_FINGERPRINT_TAG, ""),
        received_ms=_number(tags.get(RECEIVED_TAG)),
        ended_ms=run.info.end_time or 0,
    )


def _shown(name: str, length: int) -> str:
    """A name as MLflow shows it: nothing in it is hidden or takes a line."""
    return shorten(visible(name), length)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _status(error: MlflowException) -> int:
    """The HTTP status of an answer in MLflow's error format; 0 for anything else, a closed port included."""
    from mlflow.exceptions import RestException

    if not isinstance(error, RestException):
        return 0
    status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return status


def _unavailable(url: str, error: Exception) -> str:
    return (
        f"MLflow at {url} does not take runs: {_brief(error)}. Start it with `llmtrace mlflow`, or "
        "correct mlflow_url in [collector]; where it answers 403, name its host in its allowed_hosts."
    )


def _brief(error: Exception) -> str:
    """The first line of an error, within a few hundred characters."""
    return str(error).strip().split("\n", 1)[0][:300]
