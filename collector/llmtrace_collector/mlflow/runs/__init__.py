"""What one experiment run did: its calls summed, its samples and contents.

Only `mlflow` imports it.
"""
