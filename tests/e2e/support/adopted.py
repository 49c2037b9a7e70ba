"""Job tables of applications beside a fleet: adopted by the real command, filled by plain statements."""
import pathlib
import tempfile

from support.fleet import BIN, SOURCE, run

MAPS = SOURCE / "tests/support/adopted"

# map: (table, status column, waiting, running, completed, INSERT of n rows from :first)
TABLES = {
    "django": ("studio.api_imagejob", "status", "pending", "processing", "completed",
               "INSERT INTO studio.api_imagejob (prompt) SELECT 'p' || n FROM generate_series(%s, %s) n"),
    "prisma": ('realign."ProcessingJob"', '"status"', "PENDING", "PROCESSING", "COMPLETED",
               "INSERT INTO realign.\"ProcessingJob\" (id, \"updatedAt\", \"inputPrompt\") "
               "SELECT 'c' || md5(n::text), now() AT TIME ZONE 'UTC', 'p' || n FROM generate_series(%s, %s) n"),
    "jobs": ("public.jobs", "status", "queued", "processing", "completed",
             "INSERT INTO public.jobs (drive_file_id, drive_file_name, drive_folder_id, preset_name) "
             "SELECT 'f' || n, 'n', 'd', 'portrait_pro' FROM generate_series(%s, %s) n"),
    "job_queue": ("public.job_queue", "status", "pending", "processing", "completed",
                  "INSERT INTO public.job_queue (job_type, payload) "
                  "SELECT 'noop', jsonb_build_object('n', n) FROM generate_series(%s, %s) n"),
    "rails": ("shop.background_jobs", "state", "queued", "running", "done",
              "INSERT INTO shop.background_jobs (handler) SELECT 'noop' FROM generate_series(%s, %s) n"),
}
NAMES = {"django": "studio_api_imagejob", "prisma": "realign_processingjob", "jobs": "public_jobs",
         "job_queue": "public_job_queue", "rails": "shop_background_jobs"}


def create_tables(db):
    db.execute((MAPS / "tables.sql").read_text())


def adopt(db, name, *more, text=None, check=True):
    if text is None:
        return run([BIN / "rowcrew", "--database", db.url, "adopt", "--map", MAPS / f"{name}.yaml", *more], check=check, within=300)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return run([BIN / "rowcrew", "--database", db.url, "adopt", "--map", file.name, *more], check=check, within=300)


def map_text(name):
    return (pathlib.Path(MAPS) / f"{name}.yaml").read_text()


def words(db, name):
    table, status = TABLES[name][:2]
    return dict(db.execute(f"SELECT {status}::text, count(*) FROM {table} GROUP BY 1"))
