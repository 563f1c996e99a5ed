"""A package, so that its test_similarity is not mistaken for another room's."""
