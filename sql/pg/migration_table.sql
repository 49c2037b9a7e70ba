CREATE TABLE rowcrew.schema_migration (
  version    int         NOT NULL,
  step       text        NOT NULL CHECK (step IN ('pre', 'post')),
  name       text        NOT NULL,
  fingerprint text       NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (version, step)
)
