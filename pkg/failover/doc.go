// Package failover decides who of a pair is active. Decide is a function of
// values: what identify remembers (State), everything known now (View), what
// the configuration allows (Policy) and the time; it returns the new memory and
// one Decision. It fetches nothing, sleeps never and reads no clock.
//
// # Invariants
//
//  1. Every change of role is one Transition with a compare-and-set on epoch
//     and version; the epoch grows by one when a role is taken away or given
//     in a new assignment, and never falls.
//  2. A server is named active after another only in phase opening, and only
//     when the other is closed with a proof, or the policy accepted less and the
//     record says "risk", or that an operator's override did without a proof.
//  3. Nobody is named active by an automatic change who was not seen
//     replicating from the active in this epoch, holds a transaction of its own
//     that the active lacks, or has received something that it has not applied.
//  4. Only silence counts as death: refused, hung or silent, not contradicted by
//     the replica. Wrong passwords, too many connections and a missing sample do not.
//  5. A missing or older record in Redis never elects anybody while this process,
//     an agent's file or a server's epoch row remembers a newer one; it is rebuilt
//     with one more than the highest. A file and a row may be out of date: they are
//     believed only while the server that they do not name is seen.
//     A change of role that this process finds under way waits until the agents are heard.
//  6. Every "no" carries a Reason.
//
// Rules gives the transition table in order; Decide takes the first rule of the
// present phase that applies, so the printed table is the program.
package failover
