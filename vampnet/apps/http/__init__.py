"""HTTP service: jobs, files and events under /api/v1. The web process never imports torch; its workers do."""
