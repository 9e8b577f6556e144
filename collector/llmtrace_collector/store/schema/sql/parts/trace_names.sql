{# The columns of trace_rows that are computed, by name. #}
Project, TraceId, Start, End, Duration, RootName, RootService, RootKind, Operation, Status, HasRoot, Spans, Steps,
    FailedSteps, Retries, Calls, Errors, UnknownUsage{% for count in trace_counts %}, {{ count.name }}{% endfor %}, Models,
    Services, UserId, SessionId, Tags, Experiment, RunId, PromptName, PromptVersion, Purpose, FinishReasons, ErrorTypes,
    TimeToFirstToken, HasImage, HasRetrieval, Abandoned, Weight, RetentionDays
