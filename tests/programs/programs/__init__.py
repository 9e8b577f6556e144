"""What `tests.programs` runs, with the interpreter of the environment that a shape names."""
