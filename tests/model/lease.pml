/* Claim, lease, fence and rescue: one job, an unlucky node and its heir.
 *
 *   node:    all handlers are dead by   t_send(last beat whose commit was acknowledged) + S + K + J
 *   reaper:  declares dead not before   t_first_read(that same beat) + L, by its own clock
 *   hence    S + K + J <= L * (1 - 2 * rho) - epsilon
 *
 * Time is a count of ticks. A tick may not pass while a living process is overdue: the node asks its
 * handler to stop by S + J, the handler is gone K later. Events between two ticks come in any order,
 * so that a measured span is wrong by up to one tick: that is epsilon. The heir's clock may once count
 * one tick too many: that is rho. Messages take as long as they like, replies may be lost.
 * The node may be frozen past its lease once, and may die once.
 *
 * With CHILD the handler is a program under its guardian, which counts the lease by itself: there
 * even a frozen node's handler is gone in time. Without, it is a coroutine, and for a frozen node the
 * fence alone is promised.
 *
 * Claim tokens are random and never come again: whoever holds one holds the row's or a stale one.
 * So each holder has one bit ("..._current") instead of a number; and likewise the beat.
 *
 * Properties: two handlers of the job never run at once (but see above); a write under a lost claim
 * never changes the row; and, with LIVENESS, the job ends.
 *
 * Define one of these to take a rule out; the search must then find an error:
 *   TIGHT           S larger by one tick: the inequality holds no more
 *   ACK_TIME        the lease counts from the arrival of the acknowledgement
 *   REVIVE          a beat brings a node back that was declared dead
 *   NO_CAS          declared dead without comparing the beat
 *   JUDGE_AT_ANSWER the beat's age is judged when the answer is here, not when it was asked for,
 *                   and whatever the answer says
 *   NO_FENCE        the end is written without the claim token
 *   LATE_START      a handler starts on a claim whose answer came after the lease
 *   NO_FEED         (CHILD) the guardian knows only whether the node lives
 *   REAP_ONCE       (LIVENESS) only the claims found at the declaration are rescued
 *   NO_RECONCILE    (LIVENESS) a claim whose answer was lost is not handed back
 */
#ifdef LIVENESS /* every job ends whatever the times are: small ones, for a small search */
#define L 3
#define S 2
#define K 1
#else
#define L 7
#ifdef TIGHT
#define S 3
#else
#define S 2
#endif
#define K 2
#endif
#define J 1

mtype = { ready, processing, completed };
mtype = { none, sent, answered };

/* The row. */
mtype status = ready;
bool row_by_node;    /* the claim is the unlucky node's, not the heir's */

/* The node, as the database has it. */
bool dead;

/* The node. */
bool alive = true, frozen, thawed;
byte age;            /* ticks since the send of the last acknowledged beat */
mtype beating = none;
byte beat_age;       /* ticks since that send */
bool beat_refused, told;
mtype claiming = none;
bool claim_took;     /* what the claim's answer will say */
bool claim_current;  /* the token of the handler, or of the claim on its way, is the row's */
bool writing, write_current; /* the end of a handler, on its way to the database */
bool runs, stopping;
byte stop_age;
bool may_freeze = true, may_die = true, may_lose = true;

/* The heir. */
bool heir_runs;
bool unseen = true;  /* the beat differs from the one read last */
bool moved;          /* ... from the one in the answer on its way */
byte seen_age;       /* ticks since the beat read last was first read */
mtype asking = none;
bool asked_old, answer_new;
#ifdef LIVENESS
bool may_drift;
#else
bool may_drift = true;
#endif

#define holds_lease (age < S && !told)
#define up (alive && !frozen)
#ifdef CHILD
#define excused false
#ifdef NO_FEED
#define guarded (up || !alive)
#else
#define guarded true
#endif
#else
#define excused (frozen || thawed)
#define guarded up
#endif

/* Nothing that must have happened by now is left. */
#define on_time (!(runs && guarded && !stopping && age >= S + J) && !(runs && guarded && stopping && stop_age >= K))

#ifdef LIVENESS
/* One interruption of any length; a fleet whose every heartbeat comes too late for ever gets nothing done. */
bool may_part = true, parted;
#define in_touch (parted || !up || told || beating == none && age + 1 < S || beat_age + 1 < S && age + 1 < S)
active proctype Interruption() {
  if
  :: may_part = false
  :: atomic { parted = true; may_part = false }
     parted = false
  fi
}
#else
#define in_touch true
#endif

inline older(a, most) { if :: a < most -> a++ :: else fi }
inline ended() { runs = false; stopping = false; stop_age = 0; claim_current = false; thawed = false }
inline counted() { unseen = true; moved = true; beating = answered }
/* The row changes hands: every token dealt before is stale. */
inline rescue() { status = ready; row_by_node = false; claim_current = false; write_current = false }

active proctype Tick() {
  do
  :: d_step { on_time && in_touch && status != completed ->
       older(age, S + J); older(beat_age, S + J); older(seen_age, L);
       if :: stopping -> older(stop_age, K) :: else fi }
  :: d_step { may_drift && status != completed -> may_drift = false; older(seen_age, L) }
  :: status == completed -> break
  od
}

/* Each activity is a process of its own, so that none can starve another: weak fairness holds per
 * process. On "end:" it may wait for ever.
 *
 * Heartbeat: the database counts, the node times from the send. */
active proctype Heartbeat() {
end:
  do
  :: atomic { up && !told && beating == none -> beating = sent; beat_age = 0 }
  :: atomic { up && beating == answered ->
       if
       :: beat_refused -> told = true
#ifdef ACK_TIME
       :: else -> age = 0
#else
       :: else -> age = beat_age
#endif
       fi;
       beating = none; beat_age = 0; beat_refused = false }
  od
}

/* Claim: only under the lease; a handler starts only under the lease. */
active proctype Claimer() {
end:
  do
  :: atomic { up && holds_lease && !runs && !writing && claiming == none && status == ready ->
       claiming = sent }
  :: atomic { up && claiming == answered ->
       claiming = none;
       if
#ifdef LATE_START
       :: claim_took -> runs = true
#else
       :: claim_took && holds_lease -> runs = true
#endif
       :: else -> claim_current = false /* taken by others, or too late: left to the rescue */
       fi;
       claim_took = false }
  :: atomic { up && claiming == answered && may_lose ->
       may_lose = false; claiming = none; claim_took = false; claim_current = false }
  od
}

#ifndef NO_RECONCILE
/* A claim row of its own that the node does not know of: handed back. */
active proctype Reconciler() {
end:
  do
  :: atomic { up && holds_lease && claiming == none && !runs && !writing &&
              status == processing && row_by_node -> rescue() }
  od
}
#endif

active proctype Handler() {
end:
  do
  /* It ends by itself: the end goes out under the claim's token. */
  :: atomic { up && runs && !stopping && !writing -> writing = true; write_current = claim_current; ended() }
  /* It is asked to stop in time, and is gone K later at most. */
  :: atomic { up && runs && !stopping && !holds_lease -> stopping = true }
#ifdef CHILD
#ifndef NO_FEED
  :: atomic { runs && !stopping && age >= S -> stopping = true } /* by the guardian */
#endif
  :: atomic { runs && !stopping && !alive -> stopping = true }
  :: atomic { runs && stopping -> ended() }
#else
  :: atomic { up && runs && stopping -> ended() }
#endif
  od
}

/* What may happen to the node. */
active proctype Fate() {
end:
  do
  :: atomic { up && may_freeze -> may_freeze = false; frozen = true }
  :: atomic { alive && frozen -> frozen = false; thawed = runs } /* until its next look at the lease */
  :: atomic { alive && may_die ->
       may_die = false; alive = false; frozen = false;
#ifndef CHILD
       ended();
#endif
       if :: beating == answered -> beating = none :: else fi;
       if :: claiming == answered -> claiming = none; claim_took = false :: else fi }
  :: atomic { may_die -> may_die = false } /* it lives on */
  od
}

/* What is on its way to the database arrives whenever it likes, also after its sender's death. */
active proctype BeatArrives() {
end:
  do
  :: atomic { beating == sent ->
       if
#ifdef REVIVE
       :: true -> dead = false; counted()
#else
       :: !dead -> counted()
       :: dead -> beat_refused = true; beating = answered
#endif
       fi;
       if :: !alive -> beating = none :: else fi }
  od
}

active proctype ClaimArrives() {
end:
  do
  :: atomic { claiming == sent ->
       if
       :: status == ready ->
          status = processing; row_by_node = true; claim_current = true; claim_took = true
       :: else
       fi;
       claiming = answered;
       if :: !alive -> claiming = none; claim_took = false :: else fi }
  od
}

active proctype EndArrives() {
end:
  do
  :: atomic { writing ->
       if
#ifdef NO_FENCE
       :: status == processing ->
#else
       :: status == processing && write_current ->
#endif
          assert(write_current); /* never under a lost claim */
          status = completed
       :: else
       fi;
       writing = false; write_current = false }
  od
}

/* The heir watches: a beat's age counts from the answer that first showed it, judged at the question. */
active proctype Watch() {
end:
  do
  :: atomic { status != completed && asking == none && !dead -> asking = sent; asked_old = (seen_age >= L) }
  :: atomic { asking == sent -> answer_new = unseen; moved = false; asking = answered }
  :: atomic { asking == answered ->
       asking = none;
       if
#ifdef JUDGE_AT_ANSWER
       :: seen_age >= L ->
#else
       :: !answer_new && asked_old ->
#endif
#ifdef NO_CAS
          dead = true
#else
          if :: !unseen || answer_new && !moved -> dead = true :: else fi
#endif
       :: else -> if :: answer_new -> unseen = moved; seen_age = 0 :: else fi
       fi;
       asked_old = false; answer_new = false; moved = false
#ifdef REAP_ONCE
       ;
       if :: dead && status == processing && row_by_node -> rescue() :: else fi
#endif
     }
  od
}

#ifndef REAP_ONCE
/* Rescue: every claim whose node is not a living one, whenever it committed. */
active proctype Reaper() {
end:
  do
  :: atomic { dead && status == processing && row_by_node -> rescue() }
  od
}
#endif

/* The heir is a node as well; its own death is the other one's story. */
active proctype HeirWorks() {
end:
  do
  :: atomic { status == ready && !heir_runs -> status = processing; heir_runs = true }
  :: atomic { heir_runs -> heir_runs = false; status = completed }
  od
}

#ifdef LIVENESS
ltl every_job_ends { <> (status == completed) }
#else
active proctype NeverTwoAtOnce() {
end:
  atomic { runs && heir_runs && !excused -> assert(false) }
}
#endif
