"""Places where text leaves the product go through the function of their kind, as far as a search can say.

A place that prints, logs, writes CSV or shows Markdown some other way fails here, with the way to do it.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("sdk", "collector", "inference", "dashboard", "cli")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))

#: Calls that let text out, and where they may stand: what stands there escapes it, or it is our own.
ALLOWED: dict[str, tuple[str, ...]] = {
    # llmtrace.common.terminal.say prints lines; these are documents of ours, JSON in ASCII, what `write` has.
    r"click\.echo": (
        "sdk/llmtrace/common/terminal.py",
        "cli/llmtrace_cli/query/output.py",
        "cli/llmtrace_cli/config/commands.py",
        "cli/llmtrace_cli/admin/store.py",
        "cli/llmtrace_cli/admin/store_check.py",
        "cli/llmtrace_cli/admin/keys.py",
        "cli/llmtrace_cli/admin/quarantine.py",
        "cli/llmtrace_cli/detect/texts.py",
        "sdk/llmtrace/doctor/report.py",
        "inference/llmtrace_inference/demo_model/train.py",
    ),
    # The progress line of a search, which says its own period.
    r"print": ("cli/llmtrace_cli/query/traces.py",),
    r"sys\.(stdout|stderr)\.write": (),
    # llmtrace.common.escaping.csv_document writes CSV.
    r"csv\.(writer|DictWriter)": ("sdk/llmtrace/common/escaping.py",),
    r"\w+(\.\w+)*\.to_csv": (),
    # llmtrace.common.log_lines.log_to_stderr sets a log up.
    r"logging\.(basicConfig|Formatter|StreamHandler|FileHandler|config\.dictConfig)": (
        "sdk/llmtrace/common/log_lines.py",
    ),
    # Streamlit's ways to write HTML: the style of all pages is ours.
    r"st\.(html|iframe|components\.v1\.\w+)": ("dashboard/llmtrace_dashboard/server/script.py",),
    r"st\.(write|write_stream|latex|json|table|exception|echo|data_editor)": (),
}

#: Streamlit's calls whose first text is Markdown: text that is put together there is escaped or a number.
MARKDOWN = re.compile(
    r"st\.(markdown|caption|title|header|subheader|info|warning|error|success|toast|badge|expander|button|"
    r"link_button|metric|tabs|segmented_control|radio|toggle|checkbox|popover|download_button)"
)

#: What may stand within braces there, beside numbers in a format and calls of `markdown_text`.
OURS = (
    r"markdown_text\(.*\)",
    r"formats\.\w+\(.*\)",
    r".*:[,.\dfg%]+",
    "what",  # the kind of thing that a page lists
    "title",  # a series' own name
    "address",  # of this dashboard
    r"_BY\[page\.by\]\.label\.lower\(\)",
    "MAX_SPANS",
    r"len\(.*\)",
)


#: Expressions that were read: file, expression, all of whose values are texts of ours, dates and numbers.
READ = {
    ("page_frame.py", "updated + (' · paused' if filters.paused() else '')"),
    ("page_frame.py", "note"),
    ("search_box.py", "chosen.help"),
    ("plans.py", "note"),
    ("spend.py", "' '.join(notes)"),
    ("spend.py", "of_cost"),
    ("overview.py", "page_url('/traces', q='has:degraded')"),
    ("advice.py", "_RULES[rule]"),
    ("advice.py", "advice.RULES[rule]"),
    ("incident.py", "label"),
    ("incident.py", "text"),
    ("incident_labels.py", "words"),
    ("incident_labels.py", "_UNMOVED"),
    ("incident.py", "done"),
    (
        "trace.py",
        "['Messages', attributes_label, f\"Events ({len(values['event_names'])})\", "
        "f'Scores ({len(detail.scores)})', 'JSON']",
    ),
}


@cache
def calls(file: Path) -> list[tuple[str, ast.Call]]:
    """Every call in a file: what is called, in words, and the call."""
    return [
        (ast.unparse(node.func), node)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]


@pytest.mark.parametrize("pattern", ALLOWED)
def test_text_leaves_through_one_function(pattern: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{call.lineno}: {name}"
        for file in FILES
        if str(file.relative_to(ROOT)) not in ALLOWED[pattern]
        for name, call in calls(file)
        if re.fullmatch(pattern, name)
    ]
    assert wrong == [], "see the comment beside the pattern for what to call instead"
    for place in ALLOWED[pattern]:
        assert any(re.fullmatch(pattern, name) for name, _ in calls(ROOT / place)), f"{place} needs no leave"


def test_what_the_command_line_echoes_is_its_own() -> None:
    """Outside `say` and `write`: JSON in ASCII, documents that are rendered from our code, a new key, SQL."""
    ours = re.compile(r"json\.dumps\(.*\)|(render|effective|template)\(.*\)|key\['key'\]|f'\{statement\};'")
    for place in ALLOWED[r"click\.echo"]:
        if place.endswith(("terminal.py", "output.py", "train.py")):
            continue
        for name, call in calls(ROOT / place):
            if name == "click.echo":
                text = ast.unparse(call.args[0])
                assert ours.fullmatch(text), f"{place}:{call.lineno}: {text}: print it with `say`"
                assert "ensure_ascii" not in text


def put_in(text: ast.expr) -> list[str]:
    """What is put into a text: what stands in braces, or all of an expression that is no text of ours."""
    if isinstance(text, ast.JoinedStr):
        return [
            ast.unparse(ast.JoinedStr([value]))[3:-2]
            for value in text.values
            if isinstance(value, ast.FormattedValue)
        ]
    return [] if isinstance(text, ast.Constant) else [ast.unparse(text)]


def test_no_text_is_put_into_markdown_as_it_came() -> None:
    wrong, seen = [], 0
    for file in FILES:
        if "llmtrace_dashboard" not in file.parts:
            continue
        for name, call in calls(file):
            for text in put_in(call.args[0]) if MARKDOWN.fullmatch(name) and call.args else ():
                seen += 1
                ours = (file.name, text) in READ
                if not ours and not any(re.fullmatch(form, text, re.DOTALL) for form in OURS):
                    wrong.append(f"{file.relative_to(ROOT)}:{call.lineno}: {text}")
    assert wrong == [], "let llmtrace.common.escaping.markdown_text have it, or show it with st.text"
    assert seen > 5, "the search finds what it looks for"


def test_parts_of_pages_write_text_as_text() -> None:
    """Scripts of the components know no way from a text to HTML, code or an address elsewhere."""
    folder = ROOT / "dashboard" / "llmtrace_dashboard" / "ui" / "components"
    scripts = sorted(folder.glob("*.js"))
    assert len(scripts) >= 4
    ways = (
        r"\b(inner|outer)HTML|insertAdjacent|document\.write|\beval\b|new Function|srcdoc|"
        r"createContextualFragment|"
        r"\.(src|action|formAction)\s*=|javascript:|setAttribute\(\s*['\"](src|srcset|on\w+|style)|importScripts|"
        r"\bfetch\(|XMLHttpRequest|WebSocket|location\s*="
    )
    for script in scripts:
        assert re.findall(ways, script.read_text()) == [], script.name
    links = [line for script in scripts for line in script.read_text().splitlines() if '"href"' in line]
    assert links == ['  node.setAttribute("href", path);'], "only linkTo, which asks ownPath, sets an address"
    for style in sorted(folder.glob("*.css")):
        assert re.findall(r"url\(|@import|expression\(", style.read_text()) == [], style.name


def test_nobody_lets_streamlit_read_html() -> None:
    assert [str(file) for file in FILES if "unsafe_allow_html" in file.read_text(encoding="utf-8")] == []
