"""Brains that talk to servers: chat completions over HTTP, ConversationRelay over a WebSocket."""
