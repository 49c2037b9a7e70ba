/* The sleeper gate: NOTIFY only when somebody sleeps, and yet no wake-up is ever lost.
 *
 *   producer, in its transaction:  try advisory lock B shared (until the end of the transaction),
 *                                  then test A (shared, released at once). B not to be had (being
 *                                  drained), or A held exclusively by somebody: NOTIFY at commit
 *   leader (holds session lock L): lock A, then drain B (exclusive for a moment, once a second until
 *                                  it was free once), then probe everything in a new statement,
 *                                  then wait; when woken: claim, and sleep on or unlock A
 *
 * A commit makes rows visible first, then releases locks, then sends its notifications; each is a
 * step of its own here. The fallback timer is left out: what only it would find counts as lost.
 * The leader may die once, in any state; another takes L and starts with a claim of everything.
 *
 * Define exactly one of these to take a rule out; the search must then find an error:
 *   PROBE_BEFORE_LOCK  the probe reads before A is held
 *   SAME_STATEMENT     the probe uses the snapshot of the statement that drained B
 *   TEST_BEFORE_B      a producer tests A before it holds B
 *   NO_DRAIN           the leader sleeps without having seen B free
 *   BOUNDED_PROBE      the probe starts at the claim's watermark
 *   ON_GATE_CONNECTION one producer shares the session that holds A: a session never conflicts with itself
 *   TEST_ONCE          a transaction that tested once, in a savepoint it rolled back, tests no more
 */
#ifndef PRODUCERS /* with 3, define NO_SAVEPOINTS too, or the search takes gigabytes */
#define PRODUCERS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define ROWS (2 * PRODUCERS) /* a row is filed at most twice per transaction */

bool a_held;        /* A exclusively, by the leader */
byte a_tests;       /* momentary shared holds of A */
bool b_drain;       /* B exclusively, by the leader, for a moment */
byte b_shared;      /* transactions' shared holds of B, counted as PostgreSQL does: per savepoint */
bool l_held;

byte visible;       /* committed ready rows, one bit each, in the order of their filing */
byte next_seq;      /* filing order; commits come in any order */
byte watermark;     /* claims read from here on */

bool notified;      /* delivered to whoever listens, not yet consumed */
byte notifying;     /* commits between "visible" and "notification delivered" */
bool asleep;        /* A held, B drained, probe empty, waiting */
byte deaths = DEATHS;
byte done;          /* producers that ended */

#define bit(n) (1 << (n))
#define from_mark(rows) ((rows) & (255 << watermark))

/* One row in the current (sub)transaction: the statement trigger. */
inline file_row(rows, locks, notify, tested) {
  atomic { rows = rows | bit(next_seq); next_seq++ }
#ifdef TEST_ONCE
  if
  :: tested
  :: else ->
#endif
#ifdef TEST_BEFORE_B
  test_a(notify);
  if
  :: notify
  :: else -> atomic { !b_drain -> b_shared++; locks++ }
  fi;
#else
  if
  :: atomic { !b_drain -> b_shared++; locks++ }
     test_a(notify)
  :: atomic { b_drain -> notify = true }
  fi;
#endif
#ifdef TEST_ONCE
  tested = true
  fi
#endif
}

inline test_a(notify) {
  if
  :: atomic { !a_held || own_session -> a_tests++ }
     a_tests--
  :: atomic { a_held && !own_session -> notify = true }
  fi
}

/* The end of a transaction in PostgreSQL's order. */
inline commit() {
  atomic {
    visible = visible | outer_rows;
    if
    :: outer_notify -> notifying++
    :: else
    fi
  }
  b_shared = b_shared - outer_locks;
  if
  :: atomic { outer_notify -> notified = true; notifying-- }
  :: else
  fi
}

proctype Producer(bool own_session) {
  byte outer_rows, sub_rows, outer_locks, sub_locks;
  bool outer_notify, sub_notify, tested;

  /* An outer enqueue, none, or one in a savepoint that is kept or rolled back; then perhaps another. */
  if
  :: file_row(outer_rows, outer_locks, outer_notify, tested)
  :: skip
  fi;
#ifndef NO_SAVEPOINTS
  if
  :: file_row(sub_rows, sub_locks, sub_notify, tested);
     if
     :: d_step { /* ROLLBACK TO: rows, locks and notifications of the savepoint go together */
          b_shared = b_shared - sub_locks; sub_rows = 0; sub_locks = 0; sub_notify = false }
        if
        :: file_row(outer_rows, outer_locks, outer_notify, tested)
        :: skip
        fi
     :: d_step {
          outer_rows = outer_rows | sub_rows;
          outer_locks = outer_locks + sub_locks;
          outer_notify = outer_notify || sub_notify;
          sub_rows = 0; sub_locks = 0; sub_notify = false }
     fi
  :: skip
  fi;
#endif

  /* Open for as long as it likes: nothing forces the next step. PREPARE TRANSACTION keeps rows and
     B until some session ends it, as here; after a NOTIFY it is refused, which is a rollback. */
  if
  :: commit()
  :: b_shared = b_shared - outer_locks            /* ROLLBACK */
  fi;
  /* What ended is one state, whatever it was. */
  d_step { outer_rows = 0; outer_locks = 0; outer_notify = false; tested = false; done++ }
}

/* Everything (from 0) or from the watermark; one statement, hence one atomic snapshot and delete. */
inline claim_all() { visible = 0 }
inline claim_from_mark() {
  d_step {
    if
    :: from_mark(visible) != 0 ->
       visible = visible & ~(255 << watermark);
       watermark = next_seq
    :: else
    fi
  }
}

inline die_perhaps() {
  if
  :: atomic { deaths > 0 -> deaths--; a_held = false; b_drain = false; asleep = false; l_held = false }
     goto dead
  :: skip
  fi
}

proctype Leader() {
  byte snapshot;
  atomic { !l_held -> l_held = true }
  claim_all(); /* a new leader knows nothing of what was notified before */
awake:
  claim_from_mark();
  die_perhaps();
#ifdef PROBE_BEFORE_LOCK
  snapshot = visible;
#endif
  atomic { a_tests == 0 -> a_held = true } /* a test in the way: tried again */
  die_perhaps();
drain:
#ifdef SAME_STATEMENT
  snapshot = visible;
#endif
#ifndef NO_DRAIN
  if
  :: atomic { b_shared == 0 -> b_drain = true }
     b_drain = false
  :: atomic { b_shared > 0 -> claim_from_mark() } /* not free: poll in a second, and try again */
     goto drain_or_wake
  fi;
#endif
#if !defined(PROBE_BEFORE_LOCK) && !defined(SAME_STATEMENT)
#ifdef BOUNDED_PROBE
  snapshot = from_mark(visible);
#else
  snapshot = visible;
#endif
#endif
  if
  :: snapshot != 0 -> snapshot = 0; a_held = false; claim_all(); goto awake
  :: else
  fi;
again:
  asleep = true;
  if
  :: notified -> skip
  :: atomic { deaths > 0 -> deaths--; a_held = false; asleep = false; l_held = false } goto dead
  :: atomic { done == PRODUCERS && !notified && notifying == 0 ->
       assert(visible == 0); asleep = false; a_held = false; l_held = false } goto dead
  fi;
  atomic { notified = false; asleep = false }
  if
  :: a_held = false; goto awake
  :: claim_all(); goto again /* with A held and B drained, whoever writes notifies */
  fi;
drain_or_wake:
  if
  :: atomic { notified -> notified = false; a_held = false } goto awake
  :: goto drain
  fi;
dead:
  skip
}

/* The property, in every state: nobody sleeps beside a committed job without a wake-up on its way. */
active proctype NoLostWakeUp() {
end:
  atomic {
    asleep && !notified && notifying == 0 && visible != 0 ->
    assert(false)
  }
}

init {
  byte i;
  atomic {
    run Leader();
    run Leader();
    i = 0;
    do
    :: i < PRODUCERS ->
#ifdef ON_GATE_CONNECTION
       run Producer(i == 0);
#else
       run Producer(false);
#endif
       i++
    :: else -> break
    od
  }
}
