"""Sites chosen from data: essential dynamics, as people draw them (learned), proposals and their
scores.
"""
