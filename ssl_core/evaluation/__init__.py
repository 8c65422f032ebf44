"""Downstream evaluation of a representation, and what can be measured without labels."""
