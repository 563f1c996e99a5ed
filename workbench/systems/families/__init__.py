"""The model families of Section 2, each on any cohort of volumes or pictures."""
