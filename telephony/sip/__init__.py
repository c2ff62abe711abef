"""SIP (RFC 3261, 6026): bytes and now in, actions out."""
