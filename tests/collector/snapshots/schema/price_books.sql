CREATE TABLE price_books (
    Book String COMMENT 'The book',
    At DateTime64(3) COMMENT 'When it came into effect',
    Actor String COMMENT 'Who chose it',
    Note String COMMENT 'What they say about it'
)
ENGINE = MergeTree
ORDER BY At
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Which price book is in effect: the newest row''s. Going back to an older book is one more row';
