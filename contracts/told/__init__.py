"""What others are told: entries of the audit, events, webhooks."""
