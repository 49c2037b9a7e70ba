-- The adopted tables that nodes serve, or have stopped to: name, epoch, mode and why it is held.
SELECT name, epoch, mode, hold_reason FROM rowcrew.adopted_table WHERE mode <> 'shadow' ORDER BY name
