{# The columns of steps_10s that are computed, by name. #}
Project, Time, ServiceName, StepKind, StepName, Agent, AgentVersion, Status, Purpose, Steps, Spans, DurationSum,
    DurationMin, DurationMax, DurationDigest
