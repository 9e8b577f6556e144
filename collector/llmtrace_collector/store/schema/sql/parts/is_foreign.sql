(
    hasAny(keys, [{{ foreign_keys | literals }}])
    OR scope_name IN ({{ foreign_scopes | literals }})
)
