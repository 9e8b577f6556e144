"""What trains the models that the packages carry. Not shipped."""
