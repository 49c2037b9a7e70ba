-- Which API key is this? $1 SHA-256 of the key in hex. No row: unknown or revoked.
SELECT name FROM rowcrew.ingest_key($1)
