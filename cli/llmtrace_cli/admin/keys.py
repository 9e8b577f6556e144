"""`llmtrace keys`: API keys of a running collector."""

import json

import click

from llmtrace_cli.terminal import say

from .client import own_collector

_ROLES = click.Choice(["ingest", "read", "service", "dashboard", "admin"])


@click.group(
    epilog="""\b
Examples:
  llmtrace keys create --project shop --role ingest --name checkout
  llmtrace keys list
  llmtrace keys revoke key_1f0c2a9d8e7b
"""
)
def keys() -> None:
    """API keys of a project: to send, to read, to administer."""


@keys.command(
    epilog="""\b
Examples:
  llmtrace keys create --role ingest --project shop --name checkout
  llmtrace keys create --role read --project shop --per-minute 600
"""
)
@click.option("--project", default="", help="The only project that the key reaches.  [default: all]")
@click.option("--role", type=_ROLES, required=True, help="What it may do.")
@click.option("--name", default="", help="A word for yourself.")
@click.option("--per-minute", type=click.IntRange(min=0), default=0, help="Requests a minute; 0: no limit.")
@click.pass_context
def create(context: click.Context, project: str, role: str, name: str, per_minute: int) -> None:
    """Make a key and print it. It cannot be shown again."""
    body = {"project": project, "role": role, "name": name, "requests_per_minute": per_minute}
    with own_collector(context) as collector:
        key = collector.create_key(body)
    say(f"{key['key_id']}: {role} key of {project or 'every project'}; shown this once", err=True)
    click.echo(key["key"])


@keys.command(
    "list",
    epilog="""\b
Examples:
  llmtrace keys list
  llmtrace keys list --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_keys(context: click.Context, as_json: bool) -> None:
    """Show all keys, without their secrets: when each was last used, to the day, and from where."""
    with own_collector(context) as collector:
        all_keys = collector.api_keys()
    for key in all_keys:
        if as_json:
            click.echo(json.dumps(key))
            continue
        state = f"revoked {key['revoked_at'][:19]}" if key["revoked_at"] else "live"
        limit = f"{key['requests_per_minute']}/min" if key["requests_per_minute"] else "no limit"
        used = (
            f"last on {key['last_used_at'][:10]} from {key['last_address']}"
            if key["last_used_at"]
            else "unused"
        )
        say(
            f"{key['key_id']}  {key['role']:<9}  {key['project'] or '(all)':<16}  {limit:<10}  "
            f"{key['created_at'][:19]}  {state}  {used}  {key['name']}"
        )


@keys.command(
    epilog="""\b
Examples:
  llmtrace keys revoke key_1f0c2a9d8e7b
"""
)
@click.argument("key_id")
@click.pass_context
def revoke(context: click.Context, key_id: str) -> None:
    """End a key, at once."""
    with own_collector(context) as collector:
        collector.revoke_key(key_id)
    say(f"{key_id} is revoked")
