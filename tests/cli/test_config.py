"""One settings object from file, environment and command line; errors that say how to mend them."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from llmtrace_analysis.detect.detectors.parameters import AnomalyParameters
from llmtrace_cli.config import load, toml_file
from llmtrace_cli.config.settings import tables
from llmtrace_cli.serve import mlflow_server
from llmtrace_collector.pricing.charges import BUCKETS
from llmtrace_collector.settings import CollectorSettings
from llmtrace_dashboard import settings as dashboard_settings
from llmtrace_inference import settings as inference_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMTRACE_DATA_DIR", raising=False)


def write(text: str) -> Path:
    path = Path("llmtrace.toml")
    path.write_text(text, encoding="utf-8")
    return path


def test_command_line_beats_environment_beats_file_beats_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[collector]\nport = 1001\nhost = "localhost"\nretention_days = 7\n')
    monkeypatch.setenv("LLMTRACE_COLLECTOR__PORT", "1002")
    monkeypatch.setenv("LLMTRACE_COLLECTOR__RETENTION_DAYS", "8")

    collector = load.load(overrides={"collector": {"port": 1003}}).collector

    assert (collector.port, collector.retention_days, collector.host) == (1003, 8, "localhost")
    assert collector.segment_bytes == CollectorSettings().segment_bytes


def test_an_absent_file_means_defaults_but_a_named_one_must_exist() -> None:
    assert load.load().collector.port == 4318
    with pytest.raises(
        load.InvalidSettings, match=r"prod\.toml does not exist; `llmtrace config init prod\.toml`"
    ):
        load.load(Path("prod.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[collector]\nprot = 1\n", r"unknown setting [collector] prot (@): did you mean [collector] port?"),
        ("[colector]\nport = 1\n", r"unknown setting colector (@): did you mean collector?"),
        (
            "retention_days = 3\n",
            r"unknown setting retention_days (@): did you mean [collector] retention_days?",
        ),
        ("[watch]\nfrequenzy = 3\n", r"unknown setting [watch] frequenzy (@); known here are collector_url,"),
        (
            '[[collector.prices]]\nmodel = "m"\ninput_per_millon = 1.0\noutput_per_million = 1.0\n',
            r"unknown setting [collector] prices[0].input_per_millon (@): "
            r"did you mean [collector] prices[0].input_per_million?",
        ),
        ('[collector]\nport = "many"\n', r"[collector] port = 'many' (@): input should be a valid integer"),
        (
            "[collector]\nport = 70000\n",
            r"[collector] port = 70000 (@): input should be less than or equal to 65535",
        ),
        ("collector = 3\n", r"collector = 3 (@): input should be"),
        ("[collector\n", r"llmtrace.toml is not valid TOML: "),
        ('[mlflow]\nhost = "0.0.0.0"\n', r"[mlflow] MLflow would listen on 0.0.0.0 for anyone"),
    ],
)
def test_errors_name_the_setting_its_origin_and_what_would_do(text: str, message: str) -> None:
    write(text)
    with pytest.raises(load.InvalidSettings) as caught:
        load.load()
    assert message.replace("@", "from llmtrace.toml") in str(caught.value)


def test_an_error_from_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[collector]\nport = 1\n")
    monkeypatch.setenv("LLMTRACE_COLLECTOR__RETENTION_DAY", "3")
    with pytest.raises(load.InvalidSettings) as caught:
        load.load()
    assert str(caught.value) == (
        "unknown setting [collector] retention_day (from the environment, "
        "LLMTRACE_COLLECTOR__RETENTION_DAY): did you mean [collector] retention_days?"
    )


def test_every_error_is_reported_at_once_and_none_shows_a_secret() -> None:
    write("[collector]\ningest_key = 12345\nprot = 1\n[inference]\napi_keys = [99999]\n")
    with pytest.raises(load.InvalidSettings) as caught:
        load.load()
    assert len(str(caught.value).splitlines()) == 3
    assert "12345" not in str(caught.value)
    assert "99999" not in str(caught.value)


def test_parts_share_the_data_directory_unless_one_has_its_own() -> None:
    write('data_dir = "/srv/llmtrace"\n[mlflow]\ndata_dir = "/mnt/mlflow"\n')
    settings = load.load()
    assert settings.collector.data_dir == Path("/srv/llmtrace")
    assert settings.watch.data_dir == Path("/srv/llmtrace")
    assert settings.inference.data_dir == Path("/srv/llmtrace/models")
    assert settings.mlflow.data_dir == Path("/mnt/mlflow")


def test_shown_settings_hide_keys_and_passwords_and_private_ones_survive_a_round_trip(tmp_path: Path) -> None:
    write(
        '[collector]\ningest_key = "sesame-in"\nstore = "clickhouse://u:sesame-db@db:8123/x"\n'
        '[inference]\napi_keys = ["sesame-inf"]\n'
        '[[watch.webhooks]]\nurl = "https://example.com/hook"\n'
        'secret = "whsec_c2VzYW1lLXdlYmhvb2stc2VjcmV0LXNlc2FtZS0="\n'
        '[[collector.prices]]\nmodel = "m"\ninput_per_million = 1.5\noutput_per_million = 2.5\n'
    )
    settings = load.load()
    toml_text = toml_file.effective(settings)
    assert "sesame" not in toml_text
    assert "c2VzYW1l" not in toml_text
    assert f"clickhouse://u:{toml_file.MASK}@db:8123/x" in toml_text

    copy = tmp_path / "run" / "settings.toml"
    toml_file.write_private(settings, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    again = load.load(copy)
    assert again.model_dump() == settings.model_dump()
    assert isinstance(again.collector.ingest_key, SecretStr)


def test_the_template_is_valid_and_says_the_defaults() -> None:
    template = toml_file.template()
    assert load.load(write(template)).model_dump() == load.load(Path("/dev/null")).model_dump()

    without_lists = re.sub(r"^# \[\[.*?\n\n", "", template, flags=re.MULTILINE | re.DOTALL)
    uncommented = re.sub(r"^# (?=[a-z_]+ = (?! *\(unset\)))", "", without_lists, flags=re.MULTILINE)
    assert tomllib.loads(uncommented)["watch"]["lookback_minutes"] == 60
    assert load.load(write(uncommented)).model_dump() == load.load(Path("/dev/null")).model_dump()


def test_every_setting_is_described_in_the_committed_documentation() -> None:
    """When it fails: `llmtrace config reference > docs/configuration.md`, and
    `llmtrace config init --force llmtrace.example.toml`."""
    reference = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for table, model in tables().items():
        for name, field in model.model_fields.items():
            assert field.description, f"[{table}] {name} has no description"
            assert f"| `{name}` |" in reference.partition(f"## [{table}]")[2], f"[{table}] {name}"
    assert reference == toml_file.reference()
    assert (ROOT / "llmtrace.example.toml").read_text(encoding="utf-8") == toml_file.template()


def test_the_documented_prices_name_every_price_there_is_and_reach_its_bucket() -> None:
    documented = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    table = "[[collector.prices]]"
    block = documented.partition(f"```toml\n{table}")[2].partition("```")[0]
    (price,) = load.load(write(table + block)).collector.prices

    assert set(type(price).model_fields) == price.model_fields_set
    assert (price.model, price.provider, price.service_tier) == ("my-finetune", "openai", "batch")
    per_unit = price.per_unit()
    assert per_unit.keys() == {bucket.name for bucket in BUCKETS}
    assert per_unit["Input"] == pytest.approx(2e-6)
    assert per_unit["CacheReadAudio"] == pytest.approx(0.4e-6)
    assert per_unit["FileSearch"] == 0.0025


def test_the_collector_takes_over_the_rates_of_the_dashboard() -> None:
    """Prices of one's own in another currency need them there; rates of its own stay."""
    documented = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    block = documented.partition("```toml\n[dashboard]")[2].partition("```")[0]
    settings = load.load(write(f"[dashboard]{block}"))
    assert (settings.dashboard.currency, settings.dashboard.time_zone) == ("CNY", "Asia/Shanghai")
    (rate,) = settings.collector.exchange_rates
    assert (rate.currency, rate.per_usd) == ("CNY", 7.1)
    own = '[[collector.exchange_rates]]\ncurrency = "CNY"\nper_usd = 7.3\nsince = 2026-01-01\n'
    (rate,) = load.load(write(f"[dashboard]{block}\n{own}")).collector.exchange_rates
    assert rate.per_usd == 7.3


FORMER = [
    (table, name) for table, model in tables().items() for name in getattr(model, "FORMER_SETTINGS", ())
]


@pytest.mark.parametrize(("table", "name"), FORMER)
@pytest.mark.parametrize("source", ["file", "environment", "command line"])
def test_a_former_setting_is_accepted_with_one_warning(
    table: str,
    name: str,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    defaults = load.load()
    variable = f"LLMTRACE_{table}__{name}".upper()
    overrides = {table: {name: "7"}} if source == "command line" else {}
    origin = {"file": "llmtrace.toml", "environment": variable}.get(source, "the command line")
    if source == "environment":
        monkeypatch.setenv(variable, "7")
    write(f'[{table}]\n{name} = "7"\n' if source == "file" else "")

    settings = load.load(overrides=overrides)

    assert load.load(overrides=overrides).model_dump() == settings.model_dump() == defaults.model_dump()
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: [{table}] {name} (from {origin}) is no setting any more: ")
    assert warning.endswith(". Remove it: the next release refuses it.")
    assert name not in tables()[table].model_fields


def test_what_became_of_a_former_setting_stands_in_one_place_with_the_reason() -> None:
    values = {
        ("inference", "log_level"): inference_settings.LOG_LEVEL.lower(),
        ("inference", "seed"): inference_settings.SAMPLING_SEED,
        ("inference", "embedding_batch"): inference_settings.EMBEDDING_BATCH,
        ("dashboard", "title"): dashboard_settings.PAGE_TITLE,
    }
    without_value = {("inference", "export_patience_seconds")}
    thresholds = {field.name for field in fields(AnomalyParameters)} - {"lookback_minutes"}
    assert set(FORMER) == set(values) | without_value | {("watch", name) for name in thresholds}
    for (table, name), value in values.items():
        assert f" {value}" in tables()[table].FORMER_SETTINGS[name]  # type: ignore[attr-defined]


def test_a_port_that_moves_takes_every_client_along_and_what_was_set_stays() -> None:
    write(
        '[collector]\nport = 4001\nread_key = "r"\ningest_key = "i"\ntls_certificate = "c.pem"\n'
        'tls_key = "k.pem"\nhost = "::"\nadmin_key = "a"\n[dashboard]\nport = 4003\n'
        '[mlflow]\nport = 4002\n[watch]\ncollector_url = "http://elsewhere:1"\n'
    )
    settings = load.load()
    assert settings.url_of("collector") == "https://127.0.0.1:4001"
    assert settings.dashboard.collector_url == settings.inference.otlp_endpoint == "https://127.0.0.1:4001"
    assert settings.dashboard.certificate == settings.inference.certificate == Path("c.pem")
    assert settings.inference.otlp_api_key == SecretStr("i")
    assert settings.dashboard.effective_read_key() == "r"
    assert settings.dashboard.mlflow_url == "http://127.0.0.1:4002"
    assert settings.watch.dashboard_url == "http://127.0.0.1:4003"
    assert settings.watch.collector_url == "http://elsewhere:1"
    assert "collector_url" in settings.watch.model_fields_set
    assert "collector_url" not in settings.dashboard.model_fields_set, "it follows, nobody set it"
    assert settings.collector.mlflow_url == "", "runs are logged where somebody asked for that"
    assert load.load(together=["collector", "mlflow"]).collector.mlflow_url == "http://127.0.0.1:4002"
    keyed = load.load(overrides={"collector": {"service_key": "s"}})
    assert keyed.inference.otlp_api_key == SecretStr("s"), "it may do more than the key of senders"
    assert load.load(together=["collector", "dashboard"]).dashboard.mlflow_url == ""


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:4318"),
        ("0.0.0.0", "http://127.0.0.1:4318"),
        ("::", "http://127.0.0.1:4318"),
        ("::1", "http://[::1]:4318"),
        ("collector.internal", "http://collector.internal:4318"),
    ],
)
def test_a_part_is_reached_where_it_listens(host: str, url: str) -> None:
    settings = load.load(overrides={"collector": {"host": host}})
    assert settings.url_of("collector") == url
    assert settings.url_of("watch") == "", "without a health port it listens on nothing"
    assert load.load(overrides={"watch": {"health_port": 1}}).url_of("watch") == "http://127.0.0.1:1"


def test_mlflow_keeps_its_runs_in_a_database_of_ones_own() -> None:
    assert load.load().mlflow.backend.startswith("sqlite:////")
    write('[mlflow]\nbackend_store_uri = "postgresql://user:password@db/mlflow"\n')
    settings = load.load().mlflow
    assert mlflow_server.environment(settings)["MLFLOW_BACKEND_STORE_URI"] == settings.backend_store_uri
    assert not any("password" in argument for argument in mlflow_server.arguments(settings))


def test_no_setting_is_named_by_the_reference_alone() -> None:
    """A setting that no page and no test speaks of is one that nobody needs: a constant."""
    pages = [page for page in (ROOT / "docs").glob("*.md") if page.name != "configuration.md"]
    files = [*pages, ROOT / "README.md", ROOT / "docker-compose.yml", *(ROOT / "tests").rglob("*.py")]
    words = set(re.findall(r"\w+", "\n".join(file.read_text(encoding="utf-8") for file in files).lower()))
    named = words | {word.rpartition("__")[2] for word in words}
    for table, model in tables().items():
        rows = [row for field in model.model_fields.values() if (row := toml_file.row_model(field))]
        for name in {name for part in (model, *rows) for name in part.model_fields}:
            assert name in named, f"[{table}] {name}"


def test_settings_cannot_be_changed_after_loading() -> None:
    settings = load.load()
    models: list[BaseModel] = [settings, *(getattr(settings, name) for name in tables())]
    assert all(model.model_config.get("frozen") for model in models)
    assert all(model.model_config.get("extra") == "forbid" for model in models)
