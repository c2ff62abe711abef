"""The options of commands, and the larger groups of commands; ``agent.cli`` puts them together."""
