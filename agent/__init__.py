"""One call = one session: switchboard, engine, brain, voice, store and events."""
