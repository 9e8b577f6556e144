"""The HTTP APIs of vector databases: their queries, as retrieval steps.

Vectors and the texts of documents are never recorded: ids, scores and the text of the query are. The registry
imports it.
"""
