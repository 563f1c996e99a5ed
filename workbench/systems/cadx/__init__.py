"""Computer-aided diagnosis of Section 3.5."""
