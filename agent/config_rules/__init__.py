"""What a configuration must fulfil beyond its types. Pure: a configuration in, problems out."""
