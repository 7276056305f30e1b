"""The connection to a board: ssh here, a script there that answers."""
