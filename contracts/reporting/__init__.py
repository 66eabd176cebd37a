"""What is reported to others: entries of the audit, events, webhooks, spans."""
