"""What callers and agents say: grammars, lists and free sentences, each with the expectation it belongs to."""
