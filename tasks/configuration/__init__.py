"""From what a user writes (params.yaml, methods.yaml, suites) to what the stages read: resolved, validated, once."""
