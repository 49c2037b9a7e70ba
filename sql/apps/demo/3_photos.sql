-- The way of a photo: found in a folder, processed, told about.

-- Port. What to look at, and what is known already.
CREATE OR REPLACE FUNCTION demo.drive_folder(p_folder text) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object('backend', 'folder', 'path', f.path, 'settle_ms', f.settle_ms, 'known', coalesce((
           SELECT jsonb_agg(jsonb_build_object('device', p.device, 'inode', p.inode, 'size', p.size, 'mtime_ns', p.mtime_ns))
           FROM demo.photo p
           WHERE p.folder_id = f.folder_id AND p.problem IS NULL AND p.sha256 <> ''
             AND (p.status, p.error_code) IS DISTINCT FROM ('failed', 'file_missing')), '[]'))
  FROM demo.watched_folder f JOIN demo.account a USING (account_id)
  WHERE f.folder_id = p_folder AND a.is_active
$$;

-- "holiday.JPG" -> "<output>/holiday-portrait_pro-3fa9c1.jpg": readable, and the same whenever the
-- same photo is processed with the same preset.
CREATE OR REPLACE FUNCTION demo.output_path(p_folder text, p_name text, p_preset text, p_sha256 text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_folder || '/' || left(regexp_replace(p_name, '\.[^.]*$', ''), 50) || '-' || p_preset || '-' || left(p_sha256, 6)
         || lower(substring(p_name FROM '\.[A-Za-z]+$') COLLATE "C")
$$;

CREATE OR REPLACE FUNCTION demo.take_photo(p_folder demo.watched_folder, p_file jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_sha text := coalesce(p_file ->> 'sha256', '');
  v_preset text := coalesce(p_folder.preset, (SELECT a.default_preset FROM demo.account a WHERE a.account_id = p_folder.account_id));
  v_path text := coalesce(p_file ->> 'path', p_folder.path || '/' || (p_file ->> 'name'));
  v_problem jsonb;
  v_own boolean;
  v_photo demo.photo;
  v_job uuid := rowcrew.uuid7();
BEGIN
  IF p_file ? 'problem' THEN
    v_problem := jsonb_build_object('code', p_file ->> 'problem', 'message', p_file ->> 'message');
  END IF;
  v_own := EXISTS (SELECT FROM demo.photo o WHERE o.output_path = v_path)
           OR EXISTS (SELECT FROM demo.photo o WHERE o.account_id = p_folder.account_id AND o.output_sha256 = v_sha);
  INSERT INTO demo.photo AS p (folder_id, account_id, name, path, device, inode, size, mtime_ns, sha256, preset, output_path,
                               problem, job_id, status)
  VALUES (p_folder.folder_id, p_folder.account_id, p_file ->> 'name', v_path, coalesce((p_file ->> 'device')::bigint, 0),
          coalesce((p_file ->> 'inode')::bigint, hashtextextended(p_file ->> 'name', 0)), coalesce((p_file ->> 'size')::bigint, 0),
          coalesce((p_file ->> 'mtime_ns')::bigint, 0), v_sha, v_preset,
          CASE WHEN v_problem IS NULL AND NOT v_own THEN demo.output_path(p_folder.output_path, p_file ->> 'name', v_preset, v_sha) END,
          v_problem, CASE WHEN v_own THEN NULL ELSE v_job END, CASE WHEN v_own THEN 'ignored' ELSE 'queued' END)
  ON CONFLICT (folder_id, device, inode, sha256) DO UPDATE
    SET name = excluded.name, path = excluded.path, size = excluded.size, mtime_ns = excluded.mtime_ns
  RETURNING * INTO v_photo;
  IF v_photo.job_id = v_job THEN
    INSERT INTO rowcrew.processing_jobs (id, type, provider, inputs, credits, app)
    VALUES (v_job, 'generation', 'presets', jsonb_build_object('photo', v_photo.photo_id, 'name', v_photo.name, 'preset', v_preset), 1, 'demo');
    RETURN true;
  END IF;
  -- It went while it waited, and is back, perhaps under another name.
  IF v_photo.status = 'failed' AND v_photo.error_code = 'file_missing' THEN
    UPDATE demo.photo SET status = 'queued', error_code = NULL, error_message = NULL WHERE photo_id = v_photo.photo_id;
    UPDATE rowcrew.processing_jobs SET status = 'pending' WHERE id = v_photo.job_id AND status = 'failed';
  END IF;
  RETURN v_own AND v_photo.status = 'ignored' AND v_photo.found_at = rowcrew.clock();
END $$;

-- Port. Sorted, so that two polls of one folder lock in one order.
CREATE OR REPLACE FUNCTION demo.drive_files_found(p_folder text, p_files jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_folder demo.watched_folder;
  v_file jsonb;
  v_new integer := 0;
BEGIN
  SELECT * INTO v_folder FROM demo.watched_folder f WHERE f.folder_id = p_folder FOR KEY SHARE;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  FOR v_file IN SELECT f FROM jsonb_array_elements(p_files) AS x (f) ORDER BY f -> 'inode', f ->> 'name' LOOP
    IF demo.take_photo(v_folder, v_file) THEN
      v_new := v_new + 1;
    END IF;
  END LOOP;
  RETURN v_new;
END $$;

-- Port.
CREATE OR REPLACE FUNCTION demo.drive_poll_ended(p_job_id uuid, p_ended jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO demo.drive_polls AS d (folder_id, last_poll_at, files_found, poll_status, error_code, error_message)
  SELECT f.folder_id, rowcrew.clock(), coalesce((p_ended -> 'result' ->> 'new')::bigint, 0),
         CASE WHEN p_ended ->> 'status' = 'completed' THEN 'success' ELSE 'error' END, p_ended ->> 'error_code', p_ended ->> 'error_message'
  FROM rowcrew.job_queue q JOIN demo.watched_folder f ON f.folder_id = q.payload ->> 'folder' WHERE q.id = p_job_id
  ON CONFLICT (folder_id) DO UPDATE
    SET last_poll_at = excluded.last_poll_at, files_found = d.files_found + excluded.files_found,
        poll_status = excluded.poll_status, error_code = excluded.error_code, error_message = excluded.error_message
$$;

-- Port. Account, preset and limit are judged when the work begins, not when the photo was found.
CREATE OR REPLACE FUNCTION demo.generation_input(p_job_id uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_photo demo.photo;
  v_preset rowcrew.preset;
  v_answer jsonb;
  v_code text;
  v_text text;
BEGIN
  SELECT * INTO v_photo FROM demo.photo p WHERE p.job_id = p_job_id;
  IF v_photo.photo_id IS NULL THEN
    v_code := 'photo_gone';
    v_text := 'the photo''s folder is not watched any more';
  ELSIF v_photo.problem IS NOT NULL THEN
    v_code := v_photo.problem ->> 'code';
    v_text := v_photo.problem ->> 'message';
  ELSIF NOT (SELECT a.is_active FROM demo.account a WHERE a.account_id = v_photo.account_id) THEN
    v_code := 'account_inactive';
    v_text := 'the account is closed';
  ELSE
    SELECT * INTO v_preset FROM rowcrew.preset s WHERE s.name = v_photo.preset;
    IF v_preset.name IS NULL THEN
      v_code := 'preset_unknown';
      v_text := format('there is no preset %s', quote_literal(v_photo.preset));
    ELSIF NOT v_preset.is_active THEN
      v_code := 'preset_inactive';
      v_text := format('the preset %s is switched off', quote_literal(v_photo.preset));
    END IF;
  END IF;
  IF v_code IS NOT NULL THEN
    RETURN jsonb_build_object('refuse', jsonb_build_object('code', v_code, 'message', v_text));
  END IF;
  v_answer := demo.take_permit(v_photo.account_id, p_job_id);
  IF v_answer IS NOT NULL THEN
    RETURN v_answer;
  END IF;
  RETURN jsonb_build_object('source', v_photo.path, 'target', v_photo.output_path,
                            'preset', jsonb_build_object('name', v_preset.name, 'workflow', v_preset.workflow));
END $$;

-- A file's name may hold a line end, the subject of a mail may not.
CREATE OR REPLACE FUNCTION demo.send_mail(p_account demo.account, p_template text, p_data jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO rowcrew.job_queue (job_type, payload, max_attempts, app)
  VALUES ('email', jsonb_build_object('to', p_account.email, 'template', p_template, 'account', p_account.account_id::text,
                                      'data', p_data || jsonb_build_object('name', p_account.name,
                 'file', regexp_replace(p_data ->> 'file', '[[:cntrl:]\u2028\u2029]+', ' ', 'g'))), 10, 'demo')
$$;

-- Counts one ended photo. A photo counts once, however often its job is run again by hand.
CREATE OR REPLACE FUNCTION demo.count_photo(p_photo demo.photo, p_ended jsonb, p_credits bigint) RETURNS demo.usage_tracking
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_usage demo.usage_tracking := demo.lock_usage(p_photo.account_id);
  v_done boolean := p_ended ->> 'status' = 'completed';
  v_blocked boolean := p_ended ->> 'error_code' IN ('limit_reached');
BEGIN
  UPDATE demo.usage_tracking u
  SET images_processed = u.images_processed + v_done::int,
      images_overage = u.images_overage + (v_done AND u.images_processed >= u.monthly_limit)::int,
      overage_charged_cents = u.overage_charged_cents
        + CASE WHEN v_done AND u.images_processed >= u.monthly_limit THEN u.overage_cents ELSE 0 END,
      credits_spent = u.credits_spent + CASE WHEN v_done THEN p_credits ELSE 0 END,
      images_blocked = u.images_blocked + coalesce(v_blocked, false)::int,
      images_failed = u.images_failed + (p_ended ->> 'status' = 'failed' AND NOT coalesce(v_blocked, false))::int,
      limit_told = u.limit_told OR coalesce(v_blocked, false)
  WHERE u.account_id = v_usage.account_id AND u.period_start = v_usage.period_start;
  RETURN v_usage;  -- as it was before
END $$;

-- Port: in the transaction that ends the job. Usage, photo, event and mail are one with it.
CREATE OR REPLACE FUNCTION demo.generation_ended(p_job_id uuid, p_ended jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_status text := p_ended ->> 'status';
  v_photo demo.photo;
  v_account demo.account;
  v_usage demo.usage_tracking;
  v_data jsonb;
BEGIN
  SELECT * INTO v_photo FROM demo.photo p WHERE p.job_id = p_job_id;
  IF NOT FOUND OR v_photo.status = 'done' OR v_status = 'retrying' THEN
    RETURN;
  END IF;
  v_usage := demo.count_photo(v_photo, p_ended, (SELECT q.credits FROM rowcrew.processing_jobs q WHERE q.id = p_job_id));
  DELETE FROM demo.usage_permit WHERE job_id = p_job_id;
  UPDATE demo.photo p
  SET status = CASE WHEN v_status = 'completed' THEN 'done' WHEN v_status = 'cancelled' THEN 'cancelled'
                    WHEN p_ended ->> 'error_code' = 'limit_reached' THEN 'blocked' ELSE 'failed' END,
      error_code = p_ended ->> 'error_code', error_message = p_ended ->> 'error_message',
      output_sha256 = p_ended -> 'result' ->> 'sha256', ended_at = rowcrew.clock()
  WHERE p.photo_id = v_photo.photo_id;
  IF v_status = 'cancelled' THEN
    RETURN;
  END IF;
  SELECT * INTO v_account FROM demo.account a WHERE a.account_id = v_photo.account_id;
  v_data := jsonb_build_object('account', v_account.account_id::text, 'photo', v_photo.photo_id, 'file', v_photo.name, 'preset', v_photo.preset);
  IF v_status = 'completed' THEN
    v_data := v_data || jsonb_build_object('output', v_photo.output_path, 'width', p_ended -> 'result' -> 'width',
                                           'height', p_ended -> 'result' -> 'height');
  ELSE
    v_data := v_data || jsonb_build_object('code', p_ended ->> 'error_code', 'error', p_ended ->> 'error_message');
  END IF;
  PERFORM rowcrew.emit(CASE WHEN v_status = 'completed' THEN 'photo.ready' WHEN p_ended ->> 'error_code' = 'limit_reached'
                       THEN 'photo.blocked' ELSE 'photo.failed' END, v_data, 'processing_jobs', p_job_id, 'generation');
  IF p_ended ->> 'error_code' = 'limit_reached' THEN
    IF NOT v_usage.limit_told THEN
      PERFORM demo.send_mail(v_account, 'limit_reached', v_data || jsonb_build_object('limit', v_usage.monthly_limit,
        'used', v_usage.images_processed, 'period_end', to_char(v_usage.period_end AT TIME ZONE 'UTC', 'FMMonth FMDD, YYYY')));
    END IF;
  ELSE
    PERFORM demo.send_mail(v_account, CASE WHEN v_status = 'completed' THEN 'photo_ready' ELSE 'photo_failed' END, v_data);
  END IF;
END $$;

-- Port.
CREATE OR REPLACE FUNCTION demo.email_allowed(p_account text, p_template text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT a.email_notifications AND a.is_active FROM demo.account a WHERE a.account_id::text = p_account), false)
$$;
