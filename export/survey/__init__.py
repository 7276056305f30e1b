"""The formulations of a network side by side: what each costs and which may run where."""
