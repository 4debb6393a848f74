"""A network learned from labels of quantum chemistry: labels, committee, active learning, level 0."""
