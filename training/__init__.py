"""All code that needs TensorFlow: data sets, networks, training, export and import. `train.py` is the command line."""


class TrainingError(Exception):
    """Training cannot continue. The message is one line: what is wrong, with the value, and how to fix it."""
