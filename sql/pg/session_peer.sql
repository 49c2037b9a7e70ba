-- What the server does about us when we vanish without a word: it lets go of locks (the gate's, of rows)
-- within 20 s instead of the kernel's two hours. Only where a session is ours alone.
SET SESSION tcp_keepalives_idle = 10;
SET SESSION tcp_keepalives_interval = 5;
SET SESSION tcp_keepalives_count = 2;
SET SESSION tcp_user_timeout = 10000;
