// Package monitor samples the servers of one pair and publishes what it saw.
//
// It decides nothing about roles and changes nothing on a server. What it
// decides is when to ask and when to speak:
//
//   - each server has its own watch, with one pinned connection kept open;
//     a slow or dead server never delays another's sample;
//   - a full sample every interval, a ping every 250 ms between samples, so that
//     the last good answer is fresh;
//   - a connection that ends is confirmed back to back by a new connect; the
//     other member is asked at once, and again and again, whether it lost its
//     source;
//   - a probe without an answer stays pending on the pinned connection, so that
//     a server that wakes is heard at once, while new connects go on beside it;
//   - a session keeps the privileges that it had at its log-in, so that one which
//     lacks some is replaced at the next sample; the old one goes on until then;
//   - what changed is published when it changed, silence exactly when it has
//     lasted try_times x connect_timeout, and anything else at its interval.
//
// The watch is a pure state machine: files settings, event, watch, outage,
// record, legacy and diagnosis have no I/O, no clock and no goroutine. It is
// given events with the time at which they happened and returns actions. The
// files prober, outbox and monitor carry those out, in loops that run on package
// sched alone: what ends elsewhere, a connect, a question, a connection, leaves a
// report under a lock and sets the one signal of its prober.
//
// Invariants:
//
//   - An answer of any kind is life: an error reply ("too many connections",
//     "access denied") is never counted as silence.
//   - The time for which the monitor itself did not run is never counted as
//     silence of a server.
//   - At most one connect per server is under way, and at most one sample; a
//     sample that the server holds back is not piled upon by another.
//   - Of each server at most one record waits for Redis: the newest.
package monitor
