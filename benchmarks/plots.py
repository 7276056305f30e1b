def profile_plot(p, f): return b""
