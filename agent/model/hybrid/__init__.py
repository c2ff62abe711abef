"""A second family of models that hear and speak, in test size: recurrent layers with few of attention, ears of its own.

The shape of NemotronLabs VoiceChat (27 Mamba-2 layers, 4 of grouped-query attention): audio goes in as features and not
as codes, what the caller says comes out as text, what the agent says as text and codes of a codec of another rate. It
is here to keep ``DuplexModel`` wide enough: other state, other rates, words of the caller, a window in a few layers
alone. Its weights are random; no published checkpoint can be loaded.
"""
