// Package status says how a pair stands, in three forms: the predecessor's
// text, a tree for people and JSON for machines. It reads the bus and nothing
// else, and decides nothing: reasons, blockers and notes are identify's own words.
// It changes nothing anywhere; a write that would, were there something which there
// never is, tells whether the bus takes any.
//
// # Times
//
// No two machines' clocks are compared. The age of a sample is the life that
// monitors give their records (three intervals, 3 s at least) less what Redis says
// is left of it, or else how long its sequence number has stood still while we
// watched. Since when a record holds is Redis's clock beside Redis's clock. The one exception is the predecessor's
// form, which compares last_check with this machine's clock as the predecessor
// did; nothing but the words "alive at N seconds ago" hangs on it.
//
// # Conditions
//
// Each tag is in one Condition, with the exit code of the same meaning: good 0,
// degraded 3 (somebody takes writes, but the pair would not survive a failure,
// or nobody knows), no active 4 (as far as is known nobody takes writes),
// unknown tag 7, bus unreachable 69, a section that could not be read 78. Of
// several tags the highest counts.
//
// # The predecessor's form
//
// A block for each tag:
//
//	Current multi master status:
//	[mysql3308]
//	  active: 10.0.21.5:3308(alive readonly: 0)
//	  +- passive: 10.0.21.7:3308(alive readonly: 1)
//	(an empty line)
//
// "dead" stands for "alive" when the last sample was not answered, "alive at N
// seconds ago" when it was answered but is 30 seconds old or older, "unknown"
// when there is none. A pair without an active has "active: none(REASON)" and a
// line "+- passive:" for each of its servers; the predecessor printed nothing
// there.
//
// # JSON
//
// One document, or with a watch one document in a line for each look. Keys are
// only ever added within a schema_version. Times are RFC 3339 in UTC, durations
// are seconds as numbers, null is "not known", an absent key is "there is none".
//
//	schema_version  1
//	time            when this was read, by this machine's clock
//	condition       the worst of the tags: good, degraded, no active, unknown tag,
//	                bus unreachable, misconfigured
//	exit_code       the exit code that goes with it
//	error           {code, message, hint}: the bus could not be reached; answer is beside them
//	                  where Redis did answer: LOADING, NOAUTH, WRONGPASS, NOPERM and others
//	refused         {code, answer, message, hint}: the bus can be read and takes no writes:
//	                  READONLY, OOM, MISCONF and others
//	tags[]
//	  tag, uniqsign, service_mode (active-passive, active-active)
//	  condition, exit_code
//	  error           {code, message, hint}: this tag could not be read; nothing below is there
//	  source          record, predecessor (its mode key: there is no record), none
//	  active, passive host:port; absent when there is none
//	  assignment      epoch, version, phase (steady, revoked, opening, switching), since,
//	                  for_seconds, from, to, cause, proof, risk (true: less than a proof),
//	                  closed_since (true, beside risk: the passive was seen closed later),
//	                  reason, actor, loss, left (of that, what is known, in GTIDs),
//	                  loss_estimated (true: the old active has not been compared since), eligible[], blocked
//	  servers[]       node, role (active, passive, none), state (alive, down, unreadable,
//	                  unseen), cause, error, silent_seconds; the rest as of the last sample
//	                  that was answered: read_only, super_read_only, read_only_by (agent: an
//	                  agent has opened or closed the server since that sample),
//	                  flavor, version, uptime_seconds, sessions, shared_sessions (of these, by
//	                  an account of replication and in no schema: an application on that
//	                  account, or a replica that is logging in), users[] (of the others),
//	                  sample_age_seconds, sample_age_at_most_seconds, replication {source, io, sql, gtid,
//	                  delay_seconds, received, text}, executed, epoch_row {epoch, active} (how the
//	                  server remembers the last opening), locked[] (user@host, by agents),
//	                  monitors[] {name, answered, cause, age_seconds},
//	                  agents[] {name, heard (null: not watched long enough), order, deed,
//	                  reason, errant, notes[]}; one that was stopped is left out where
//	                  another reports
//	  verdict         leader, order, reason {code, text}, held, way_out[] (sentences: what ends
//	                  the hold), would_fail_over, candidate, blockers[], notes[]
//	  pause           actor, reason, since, for_seconds
//	  request         id, verb, to, actor, reason, state, answer
//	  daemons         identify, monitors[], agents[]: who is seen
//	  protection      line (what protects the pair now, in one line), missing[] (what is lacking
//	                  for an automatic failover, in a few words each), durability, unfenced, max_loss, failover_block_seconds, failback,
//	                  failback_after_seconds, text[]
//	  problems[]      {code, text}: what keeps this tag from being good, apart from
//	                  verdict.blockers and pause
//	  notes[]         {code, text}: what is worth knowing and wrong in no way
//	  faults[]        records on the bus that could not be read
package status
