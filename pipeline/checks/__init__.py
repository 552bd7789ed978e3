"""What `evenpatch verify` finds: whether files are whole, and whether they agree with each other.

Each check tells in words which file is wrong, and which command writes it anew.
May enter: what only reads. Nothing here mends.
"""
