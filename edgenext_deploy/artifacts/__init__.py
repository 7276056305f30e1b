"""The files that pass between the stages: manifests, plans with their sidecars, golden inputs."""
