"""The engine of jobs: from a delivery to a finished record. Knows neither tools nor workflows."""
