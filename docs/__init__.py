"""The documentation; `docs.generated` makes parts of it from the code."""
