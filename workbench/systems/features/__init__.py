"""Systems that learn features without labels (Section 3.1)."""
