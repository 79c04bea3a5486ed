"""Applications: a command, request or message becomes a job."""
