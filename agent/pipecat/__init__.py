"""Pipecat's services as parts: a voice, a recogniser or a brain, each in processes of its own.

``agent_file`` reads which service is wanted, ``spawn`` starts its process, ``voice`` and ``brain`` talk to it. Only
the modules ``*_host``, ``build`` and ``pipeline`` import Pipecat, and they run in no process of ours but those.
"""
