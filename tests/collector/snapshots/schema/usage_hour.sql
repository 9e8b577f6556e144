CREATE VIEW usage_hour AS
SELECT Time, Project, ServiceName, Provider, Model, ResponseModel, ServiceTier, ContextClass, DayClass, Operation, UserId, Experiment,
    RunId, PromptName, PromptVersion, Purpose, Account, StatedBy, Estimated, Tags, Calls, Errors, UnknownUsage, StatedCost, InputTokens, CacheReadTokens, CacheWriteTokens, CacheWrite1hTokens, AudioInputTokens, ImageInputTokens, VideoInputTokens, CacheReadAudioTokens, CacheReadImageTokens, CacheReadVideoTokens, OutputTokens, ReasoningTokens, AudioOutputTokens, ImageOutputTokens, VideoOutputTokens, CitationTokens, WebSearches, FileSearches, RerankSearches, CodeContainers, AudioInputSeconds, SpeechCharacters, GeneratedImages, TrainedTokens, CacheStorageTokenHours
FROM usage_hour_closed
WHERE Time < (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').2
    AND (empty((SELECT groupUniqArray((toDateTime(toStartOfHour(Time, 'UTC')), LateAt)) FROM usage_10s
        WHERE Time < (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').2 AND StoredAt >= (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').1)) OR NOT has((SELECT groupUniqArray((toDateTime(toStartOfHour(Time, 'UTC')), LateAt)) FROM usage_10s
        WHERE Time < (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').2 AND StoredAt >= (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').1), (Time, LateAt)))
UNION ALL
SELECT toDateTime(toStartOfHour(Time, 'UTC')) AS Time, Project, ServiceName, Provider, Model, ResponseModel, ServiceTier, ContextClass, DayClass, Operation, UserId, Experiment,
    RunId, PromptName, PromptVersion, Purpose, Account, StatedBy, Estimated, Tags, Calls, Errors, UnknownUsage, StatedCost, InputTokens, CacheReadTokens, CacheWriteTokens, CacheWrite1hTokens, AudioInputTokens, ImageInputTokens, VideoInputTokens, CacheReadAudioTokens, CacheReadImageTokens, CacheReadVideoTokens, OutputTokens, ReasoningTokens, AudioOutputTokens, ImageOutputTokens, VideoOutputTokens, CitationTokens, WebSearches, FileSearches, RerankSearches, CodeContainers, AudioInputSeconds, SpeechCharacters, GeneratedImages, TrainedTokens, CacheStorageTokenHours
FROM usage_10s
WHERE usage_10s.Time >= arrayMin(arrayPushBack((SELECT groupUniqArray((toDateTime(toStartOfHour(Time, 'UTC')), LateAt)) FROM usage_10s
        WHERE Time < (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').2 AND StoredAt >= (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').1).1, (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').2))
    AND (
        usage_10s.Time >= (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').2
        OR has((SELECT groupUniqArray((toDateTime(toStartOfHour(Time, 'UTC')), LateAt)) FROM usage_10s
        WHERE Time < (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').2 AND StoredAt >= (SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour').1), (toDateTime(toStartOfHour(usage_10s.Time, 'UTC')), usage_10s.LateAt))
    )
COMMENT 'Usage of models by the hour, in the classes that prices depend on: hours that are over from usage_hour_closed, the others from usage_10s';
