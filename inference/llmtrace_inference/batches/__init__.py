"""OpenAI's files and batches: stores on disk, the runner, its journal.

The API imports it; it imports serving and what lies below.
"""
