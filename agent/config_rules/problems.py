"""All that is wrong with a configuration."""

from __future__ import annotations

from operator import attrgetter

from agent.config import Config
from agent.config_rules.combinations import COMBINATIONS, Problem
from agent.config_rules.values import VALUES


def problems(config: Config) -> list[Problem]:
    """Everything that is wrong with ``config``; combinations are looked at only where single values are right."""
    found = [(path, reason) for path, rule in VALUES.items() if (reason := rule(attrgetter(path)(config)))]
    if found:
        return found
    return [problem for rule in COMBINATIONS for problem in rule(config)]
