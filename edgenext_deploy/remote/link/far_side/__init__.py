"""What runs on the board. It is sent over SSH at each connection; nothing of it needs to be there before.

Python 3.6 and its standard library only; its modules import each other alone (`sources.script` sends them).
"""
