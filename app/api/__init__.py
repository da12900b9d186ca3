"""The routes: live streams, uploads, health, models."""
