"""Names of events, the outbox and signed webhooks."""
