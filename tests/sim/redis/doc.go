// Package redis is a model of the Redis of one pair, for simulations.
//
// Store holds what Redis holds, by type and not by key, and has one method for
// each script or command that pkg/redisbus sends: the same conditions, answers,
// errors, lives and wake-ups. A property test keeps it true: it does the same
// things to a Store and to a real Redis through pkg/redisbus and compares all
// that both then say. Server is a Redis process around a Store, with its faults,
// and Bus is a process's access to it in place of redisbus.Bus.
//
// Nothing here reads a clock, waits for real or starts a goroutine. What Store
// gives out is shared with whoever asks next: readers must not change it.
//
// Left out: keys of other types or with broken content, so that a Snapshot never
// names faults; the bounds on servers, monitors, events, connections and waiting
// wake-ups; notices of mails; the ACL; the second round trip for a script that a
// new run does not know; a pipeline that is broken off in the middle.
package redis
