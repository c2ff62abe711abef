"""The simulated caller: dials by real SIP and RTP and follows a script."""
