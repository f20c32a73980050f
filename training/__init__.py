"""Everything that needs TensorFlow: data sets, networks, export and report. `train.py` is its front door."""


class TrainingError(Exception):
    """Training cannot go on; the message is one line that says what is wrong, with the value, and the cure."""
