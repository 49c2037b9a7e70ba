DROP TABLE IF EXISTS rowcrew.bench_bare
