"""`everest-bootstrap`: the command with which a person or a script uses the gateway over HTTP."""
