"""The image, the manifests, the alerts and the workflows that are delivered beside the gateway."""
