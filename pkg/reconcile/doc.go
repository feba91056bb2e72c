// Package reconcile decides what an agent must do next to one server.
//
// Decide is a function of values: the record (or the predecessor's mode where
// there is no record), the record this agent remembers, what the server and its
// peer said about themselves, and what this agent has done so far. It returns
// steps as data and, for every "no", a typed reason. It talks to nobody and
// reads no clock.
//
// Invariants, each kept for every input:
//
//   - A server that is open by leases only is closed when none of them keeps it
//     so, before and instead of anything else, whatever the record says; and it is
//     opened only while the grant of the epoch in force is held.
//   - Nothing else is done while Redis does not answer, while the record is older
//     than what is remembered, and for a record that names a server which is no
//     member of the pair.
//   - Nobody is opened in the phases revoked and switching, and nobody but the
//     record's active is ever opened.
//   - A server that the record does not allow to be open is closed before
//     anything else is done to it.
//   - No server is opened while its peer answers and is open.
//   - Replication is started only on a server whose transactions are known to
//     be a subset of the active's, or on the active from such a server; never on
//     one that has the active's own identity or was emptied, of which a
//     comparison says nothing; never
//     while one of the two is in quarantine, and never while the pair is paused:
//     a person may have stopped it. A pause holds back nothing else.
//   - Accounts are locked on a closed server that is not the active, only those
//     that match, and never our own, replication's or the administration's. They
//     are released on the active, only those that are on record as ours or that the
//     predecessor has turned around; elsewhere only by whoever locked them, when
//     they do not match any more. What else an owner has locked stays.
//   - The epoch row is written on the open active and nowhere else; super_read_only
//     is set on a closed server that is not the active.
//   - Both threads of a channel are stopped by quarantine, and on the active whose
//     position the passive refuses, after the passive was found to have nothing that
//     the active lacks; and only in phase steady. Draining stops the receiving thread and nothing else.
//
// The order of the steps in a Plan is the safety order: see Step.Rank.
package reconcile
