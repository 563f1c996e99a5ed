"""What is measured: arrays in, numbers out.

In reading order:

    correspondence   how well one similarity vector finds the true match of a point
    intervals        means, differences and shares with their uncertainty
"""
