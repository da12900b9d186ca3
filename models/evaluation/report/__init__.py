"""`signbind evaluate report`: unseen sentences through the live path, kept as records, figured, told on one page."""

from models.evaluation.report.command import evaluate

__all__ = ["evaluate"]
