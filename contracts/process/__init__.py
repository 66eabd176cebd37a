"""What the processes of gateway and handlers have alike: their settings, their log, being told to stop."""
