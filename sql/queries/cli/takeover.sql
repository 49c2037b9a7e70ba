-- Makes this database the installation's home, under a new installation id.
SELECT rowcrew.takeover()
