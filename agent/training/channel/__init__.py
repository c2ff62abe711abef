"""From clean tracks to what the telephone hears: rooms, echo, noise, gain, codecs, loss. Labels stay where they are."""
