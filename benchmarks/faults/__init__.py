"""Every long command is killed, interrupted, started twice, put on a full disk and given a clock
that goes back; then it is given again, and its results are compared with those of an undisturbed
run.
"""
