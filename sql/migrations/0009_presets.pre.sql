-- 0009: presets: what a generation does to a picture.

CREATE TABLE rowcrew.preset (
  name        text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  description text        NOT NULL DEFAULT '',
  category    text        NOT NULL DEFAULT 'portrait' CHECK (category ~ '^[a-z][a-z0-9_]{0,49}$'),
  workflow    jsonb       NOT NULL CHECK (jsonb_typeof(workflow) = 'object'),
  is_active   boolean     NOT NULL DEFAULT true,
  created_at  timestamptz NOT NULL DEFAULT rowcrew.clock()
);
COMMENT ON TABLE rowcrew.preset IS 'Named recipes: what a generation asks of its provider.';
COMMENT ON COLUMN rowcrew.preset.workflow IS
  'For the provider "presets" {"steps": [{"step": "crop", "width": 1600, "height": 2000}, ...]}; others have forms of their own: '
  'workers/generation/README.md. What does not fit fails its generations with preset_invalid.';
COMMENT ON COLUMN rowcrew.preset.is_active IS 'False: generations that name it fail with preset_inactive.';

INSERT INTO rowcrew.preset (name, category, description, workflow) VALUES
  ('portrait_pro', 'portrait', 'A portrait in 4:5 around what the eye is drawn to: calm skin, soft depth, crisp detail.',
   '{"steps": [{"step": "crop", "width": 1600, "height": 2000, "gravity": "attention"},
               {"step": "denoise", "strength": 0.5},
               {"step": "levels", "black_percent": 0.1, "white_percent": 0.1, "strength": 0.6},
               {"step": "local_contrast", "amount": 0.22, "radius": 40},
               {"step": "sharpen", "amount": 0.6, "radius": 0.8, "threshold": 2}]}'),
  ('product_clean', 'product', 'The whole product on a square white ground.',
   '{"steps": [{"step": "fit", "width": 2000, "height": 2000},
               {"step": "denoise", "strength": 0.4},
               {"step": "white_background", "level": 200},
               {"step": "sharpen", "amount": 0.8, "radius": 0.8, "threshold": 2},
               {"step": "pad", "width": 2000, "height": 2000, "background": [255, 255, 255]}]}'),
  ('landscape_vivid', 'landscape', 'The whole view with deeper tones and livelier colours.',
   '{"steps": [{"step": "fit", "width": 2400, "height": 2400},
               {"step": "levels", "black_percent": 0.2, "white_percent": 0.2, "strength": 0.8},
               {"step": "local_contrast", "amount": 0.3, "radius": 60},
               {"step": "saturation", "amount": 0.3},
               {"step": "sharpen", "amount": 0.6, "radius": 0.8, "threshold": 2}]}');

-- For a generation of either job table: a row of job_queue carries {"provider", "prompt", "inputs"} as payload.
CREATE FUNCTION rowcrew.generation_input(p_job_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN q.inputs ->> 'target' IS NULL
              THEN jsonb_build_object('refuse', jsonb_build_object('code', 'bad_payload',
                'message', 'inputs: expected "target", and "source" where a picture is made of another: the paths of files'))
              WHEN p.name IS NULL THEN jsonb_build_object('refuse', jsonb_build_object('code', 'preset_unknown',
                'message', format('preset %s: not found, expected the name of a row in rowcrew.preset',
                                  quote_nullable(left(q.inputs ->> 'preset', 63)))))
              WHEN NOT p.is_active THEN jsonb_build_object('refuse', jsonb_build_object('code', 'preset_inactive',
                'message', format('preset %s: is switched off', quote_literal(p.name))))
              ELSE jsonb_build_object('source', q.inputs ->> 'source', 'target', q.inputs ->> 'target', 'prompt', q.prompt,
                'preset', jsonb_build_object('name', p.name, 'workflow', p.workflow)) END
  FROM (SELECT g.inputs, g.prompt FROM rowcrew.processing_jobs g WHERE g.id = p_job_id
        UNION ALL
        SELECT j.payload -> 'inputs', j.payload ->> 'prompt' FROM rowcrew.job_queue j WHERE j.id = p_job_id) q
  LEFT JOIN rowcrew.preset p ON p.name = q.inputs ->> 'preset'
  LIMIT 1
$$;

UPDATE rowcrew.meta SET schema_version = 9;
