"""What reads each call's messages once, as they arrive: what has arrived, and the scan for patterns.

Rules and the watch import it; it imports detection's queries and patterns.
"""
