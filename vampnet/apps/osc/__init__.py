"""OSC: patches in Max, Pure Data and SuperCollider ask for jobs by messages."""
