import setuptools
setuptools.setup()  # the metadata is in setup.cfg, which JetPack's old pip reads through this file
