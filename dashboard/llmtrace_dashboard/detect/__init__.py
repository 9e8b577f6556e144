"""Detection: pure functions over frames of usage and messages, and the life of an incident."""
