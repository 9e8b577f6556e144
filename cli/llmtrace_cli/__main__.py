"""`python -m llmtrace_cli`: the same as `llmtrace`, for the interpreter that is running."""

from llmtrace_cli.main import main

if __name__ == "__main__":
    main()
