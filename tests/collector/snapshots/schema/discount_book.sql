CREATE TABLE discount_book (
    Book String COMMENT 'Book that the discount is in',
    Project LowCardinality(String) COMMENT 'Project that has it',
    Provider LowCardinality(String) COMMENT 'Provider that gives it',
    Model LowCardinality(String) COMMENT 'Model that it is for',
    ValidFrom DateTime COMMENT 'Holds for calls from here on',
    ValidTo DateTime COMMENT 'and before this',
    Factor Nullable(Float64) COMMENT 'What is paid of a list price: 0.9 is ten percent off',
    UpdatedAt DateTime64(3) COMMENT 'When the row was written'
)
ENGINE = ReplacingMergeTree(UpdatedAt)
ORDER BY (Book, Project, Provider, Model, ValidFrom)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'What a book''s discounts come to for each project, provider and model that was seen; no row: all is paid';
