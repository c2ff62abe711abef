"""The call simulator for training: two-channel telephone conversations with exact labels. Imported by nobody.

``python -m agent.training.make`` writes shards of features and labels; ``python -m agent.training.report`` tells what
is in them. docs/explanation/training.md says why it is built like this.
"""
