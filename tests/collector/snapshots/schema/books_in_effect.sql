CREATE TABLE books_in_effect (
    Book String COMMENT 'The book',
    At DateTime64(3) COMMENT 'When it came into effect'
)
ENGINE = MergeTree
ORDER BY At
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'price_books without who chose a book and why: what the views of cost need, whoever reads them';
