"""The only sockets of telephony."""
