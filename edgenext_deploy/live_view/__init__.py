"""A page in the browser that shows a live run: its server, and what the server serves."""
