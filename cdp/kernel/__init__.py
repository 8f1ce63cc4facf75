"""What every room of the house stands on: ids, errors, settings from the environment, tasks, binary COPY."""
