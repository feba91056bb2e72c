// Package exhaustive explores every order in which a few events can follow each
// other: two servers, two identifies, the agents and one Redis, from each of
// Starts. After every event the invariants are judged; a violation comes with the
// shortest list of events that leads to it, in words.
//
// What decides is the real code: failover.Decide and State.Wrote, lease.Lease,
// reconcile.Decide, Wants and Frozen. Redis is tests/sim/redis.Store. Only what lies
// between is made here: what a monitor publishes, how an identify's turn and an
// agent's worker carry out what is decided, and a server of counters.
//
// # Events
//
// An identify takes or extends its lease when due, reads everything, decides, and
// sends its transition; the transition arrives and is answered; arrives twice;
// arrives after its sender waits no longer, so late or behind another leader. The
// agent reads the record; looks at a server and does the first step it then wants;
// begins that step, with the record checked, and is held up; the held-up step goes
// on, unless its session was ended. A server dies, comes back, receives, applies.
// Redis comes back empty, or without its last change of the record and all since.
// A moment passes, or a while. Events that change nothing are none. Options.Faults
// bounds how many of them are faults; the events of daily work are never bounded
// but by Options.Depth.
//
// # What is judged
//
//   - I1b: never are both servers open, not even for the instant in which a late
//     opening is undone. One that came back open (Options.BackOpen) does not count.
//   - I3: orders only rise, in Redis as long as it loses nothing and for the
//     agents always; an epoch has one active, tokens grow with each taking.
//   - I4: an automatic failover goes to an eligible server; nobody is opened with
//     transactions that the other never had, nor under phase opening with
//     received ones that are not applied.
//   - I7: every opening under phase opening has a proof or a named risk, and where the
//     record says that the other acknowledged its closing, it is closed, unless it
//     came back open since.
//   - I9: no automatic failover follows another within failover_block.
//   - I10: what is rebuilt after a loss of Redis gives the role to whom the newest
//     record names, or the one that the agents obeyed.
//   - I11: a transition that is stale, doubled or of a former leader changes
//     nothing; nobody is opened but the active of the record obeyed.
//   - I14: each change of the record leaves one event.
//
// # What is left out
//
//   - Time has three ages: now, a moment ago (longer than the wait for a server that
//     refuses), a while ago (longer than the lease and every other wait). So the
//     lease never ends between two other waits. Clocks run alike.
//   - A death is a crash that everybody sees: the port refuses, at once. Hangs,
//     cuts, silence and the leases of agents are none of the events.
//   - Monitors publish without delay; an identify that is late has an old decision on
//     its way, or, with Options.Apart, an old reading in hand.
//   - The agents are one, whose reports reach Redis with what they tell of. A second
//     one is there as a step that is held up while the first goes on; one at a time.
//     Agents and identifies are not restarted, and agents know what servers show
//     whenever a while has passed.
//   - Transactions are counted by origin, received and applied all at once. Applications
//     write what a start has them written, and one transaction with each epoch row.
//   - Words, timelines and names of actors; operators, accounts, mails; MariaDB.
//   - What a server that came back receives by itself before it is opened again is
//     not judged.
//   - How far leaders' tokens are apart counts, not how many there were.
//
// Worlds that are equal are one state, compared in full and not by a hash. Two worlds
// in which the identifies have changed places are one as well.
package exhaustive
