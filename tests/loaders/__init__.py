"""Dataloaders."""
