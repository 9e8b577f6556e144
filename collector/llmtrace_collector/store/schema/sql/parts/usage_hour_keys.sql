{# What tells rows of usage_hour apart within an hour. #}
Project, ServiceName, Provider, Model, ResponseModel, ServiceTier, ContextClass, DayClass, Operation, UserId, Experiment,
    RunId, PromptName, PromptVersion, Purpose, Account, StatedBy, Estimated, Tags
