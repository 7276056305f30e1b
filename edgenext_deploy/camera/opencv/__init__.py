"""Cameras, network streams and video files through OpenCV, which reads them with GStreamer or by its own means."""
