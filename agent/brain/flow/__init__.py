"""FlowBrain: a declarative dialogue as YAML (``load``), understood (``match``, ``slots``) and run (``machine``)."""
