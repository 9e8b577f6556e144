-- Which SELECT each decoding view has, by its SHA-256: it differs by version and by what is left out.
CREATE TABLE IF NOT EXISTS decoding_views (
    Name String,
    Digest String,
    At DateTime64(6) DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (Name, At)
SETTINGS {durable};

-- The span said that it ended before it began: its duration is 0.
ALTER TABLE otel_traces ADD COLUMN IF NOT EXISTS EndBeforeStart Bool DEFAULT false;
