"""The parts of leave_one_out.py."""
