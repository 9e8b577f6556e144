{# Settings of every table that an acknowledged row may reach: an insert returns when it is on disk, and an insert
   repeated with the same token adds nothing. What one segment makes is one file of all columns: a file of each
   column, every one of them made and synced, costs a third of the whole insert. Merges beyond 64 MiB have a file of
   each. Every merge writes every prompt again: eight parts at a time instead of five are a quarter fewer rounds. #}
fsync_after_insert = 1, fsync_part_directory = 1, {{ deduplication_window }},
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
