// Package agent makes the servers of each pair match what Redis says: it closes
// the passive, drains and opens the active, keeps replication in the form that
// is safe, and reports what it did, step by step.
//
// Each server has its own worker with its own connections, so that a dead
// server never delays the other: closing one and draining the other run side by
// side. A worker asks package reconcile what to do, does it, and asks again. It
// is woken by a change of the record, a message on the predecessor's topic, the
// end of a connection and a timer; all of these only say "look now".
//
// Connections. A worker keeps one connection to work on and one spare, opened
// beforehand, on which a closing order is left when the server hangs. Each
// opening dials one of its own before it checks the record and never dials
// again: whoever closes the server ends that session, so that an agent that was
// paused between its check and the opening cannot open when it wakes.
//
// Invariants, beside those of package reconcile:
//
//   - The record is read again just before a server is closed, killed on,
//     drained, opened or made to replicate, and once more after an opening; an
//     opening that is no longer wanted is undone at once.
//   - A closing is acknowledged only after read_only=1 was read back and the
//     sessions of this agent's own user, other than this worker's, are gone.
//   - A server that the pair does not have is never connected to, whoever names it.
//   - Stopping the agent changes no server.
package agent
