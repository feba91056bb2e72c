// Package mysql is a model of one MySQL or MariaDB server, for the simulator.
//
// Server is a state machine: it has no clock, no goroutine and no network. Each
// call brings the time; what takes time is a wait that ends by a callback, when
// what it waits for has come, or in Advance when its time is over (Due tells when
// that is). Between two servers somebody else carries what one sends to the
// other (Dump, Receive), so that delays and cuts are the world's.
//
// What a server does is measured on real ones: the conformance test has the same
// random operations done by the model and by a real pair, and compares what each
// says of itself. Where they differ the server is right.
//
// The model has one replication domain, one channel, GTID positions and row
// format, a binary log that outlasts every crash and is never purged, and no
// privileges: the manager's user and root bypass read_only, others do not.
package mysql
