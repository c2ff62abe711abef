"""What is wrong with this host for this configuration, before a caller finds out."""
